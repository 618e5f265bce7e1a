"""A client that leaves while nothing is read from it; and those who only ended their side."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from itertools import count

import pytest

from sidecar.fronts.reverse_proxy.presence import Presence, has_left
from tests.fakes.waiting import until


@asynccontextmanager
async def connected() -> AsyncIterator[tuple[asyncio.Transport, asyncio.StreamWriter]]:
    """Yield our end, from which nothing is read, and the client's."""
    accepted: asyncio.Queue[asyncio.StreamWriter] = asyncio.Queue()
    server = await asyncio.start_server(lambda _, writer: accepted.put_nowait(writer), "127.0.0.1")
    async with server:
        _, client = await asyncio.open_connection(*server.sockets[0].getsockname()[:2])
        ours = await accepted.get()
        ours.transport.pause_reading()  # type: ignore[attr-defined]
        try:
            yield ours.transport, client  # type: ignore[misc]
        finally:
            client.close()
            ours.close()


class Client:
    """A connection of which so many requests are taken, and no more."""

    def __init__(self, transport: asyncio.Transport, pauses: Iterator[object]) -> None:
        self.transport: asyncio.Transport | None = transport
        self.pauses = pauses
        self.looked = 0
        self.resets = 0

    @property
    def pause(self) -> object | None:
        self.looked += 1
        return next(self.pauses)

    def reset(self) -> None:
        self.resets += 1


@pytest.mark.parametrize("aborts", [False, True])
async def test_who_has_left_is_reset_once_nothing_goes_on(*, aborts: bool) -> None:
    async with connected() as (transport, writer):
        if aborts:
            connection = writer.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        client = Client(transport, iter([1, 2, 2, *[3] * 50]))
        Presence(60.0, 0.01).watch(client)
        writer.close()

        await until(lambda: client.resets)
        looked = client.looked
        await asyncio.sleep(0.05)
        assert (client.resets, client.looked) == (1, looked)


async def test_who_has_ended_its_side_is_left_alone_while_its_requests_are_taken() -> None:
    async with connected() as (transport, writer):
        writer.write_eof()
        await until(lambda: has_left(transport))
        client, looking = Client(transport, count()), Presence(60.0, 0.01)
        looking.watch(client)
        looking.watch(client)

        await until(lambda: client.looked > 20)
        looking.end()
        assert client.resets == 0


async def test_who_is_there_is_left_alone_and_who_is_read_again_not_looked_at() -> None:
    async with connected() as (transport, _):
        client, looking = Client(transport, iter([*[1] * 10, None])), Presence(60.0, 0.01)
        looking.watch(client)

        await until(lambda: client.looked == 11)
        await asyncio.sleep(0.05)
        assert (client.looked, client.resets) == (11, 0)


async def test_who_sends_more_than_is_read_has_a_while_and_no_more() -> None:
    async with connected() as (transport, _):
        client = Client(transport, iter([1] * 50))
        Presence(0.05, 0.01).watch(client)

        await until(lambda: client.resets)
        assert client.looked > 4


async def test_a_socket_that_is_closed_is_nobodys() -> None:
    async with connected() as (transport, _):
        transport.abort()
        await until(lambda: has_left(transport))
