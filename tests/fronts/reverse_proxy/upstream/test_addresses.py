"""Several addresses of one upstream, sockets of other kinds, and the end of the pool."""

import asyncio
import socket
from pathlib import Path

import pytest

from sidecar.fronts.reverse_proxy.upstream import Upstream, UpstreamFailed, UpstreamPolicy
from sidecar.ports import UpstreamError
from tests.fakes.upstream import OK, Conversation, scripted_upstream
from tests.fakes.waiting import until

HOST = [(b"Host", b"a")]


async def body_of(upstream: Upstream) -> bytes:
    answer = await upstream.ask("GET", "/", HOST, None)
    body = b""
    while piece := await answer.more():
        body += piece
    answer.close()
    return body


def refusing() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


async def hold(conversation: Conversation) -> None:
    await conversation.read_to_end()


async def test_the_address_with_the_fewest_requests_in_flight_is_asked() -> None:
    async with (
        scripted_upstream(hold) as first,
        scripted_upstream(hold) as second,
        Upstream(UpstreamPolicy(first.url, more=(second.url,))) as upstream,
        asyncio.TaskGroup() as tasks,
    ):
        asking = [tasks.create_task(upstream.ask("GET", "/", HOST, None)) for _ in range(6)]
        await until(lambda: len(first.conversations) + len(second.conversations) == 6)
        for each in asking:
            each.cancel()

    assert (len(first.conversations), len(second.conversations)) == (3, 3)


async def test_an_address_that_refuses_is_left_out_and_another_asked_in_its_place() -> None:
    async with (
        scripted_upstream() as well,
        Upstream(UpstreamPolicy(refusing(), more=(well.url,))) as upstream,
    ):
        for _ in range(5):
            assert await body_of(upstream) == b"ok"

    assert len(well.conversations) == 5


async def test_where_all_refuse_the_client_is_told() -> None:
    async with Upstream(UpstreamPolicy(refusing(), more=(refusing(),))) as upstream:
        for _ in range(3):  # left out or not: where there is no other, it is asked
            with pytest.raises(UpstreamFailed) as failed:
                await body_of(upstream)
            assert failed.value.error is UpstreamError.CONNECT


async def test_a_unix_socket_is_an_address(tmp_path: Path) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK)
        await writer.drain()
        writer.close()

    server = await asyncio.start_unix_server(serve, tmp_path / "gateway.sock")
    async with server, Upstream(UpstreamPolicy(f"unix:{tmp_path / 'gateway.sock'}")) as upstream:
        assert await body_of(upstream) == b"ok"


async def test_a_name_is_looked_up() -> None:
    async with scripted_upstream() as well:
        port = well.url.rpartition(":")[2]
        async with Upstream(UpstreamPolicy(f"http://localhost:{port}")) as upstream:
            assert await body_of(upstream) == b"ok"


async def test_an_unused_connection_is_kept_for_a_while_and_no_longer() -> None:
    async with (
        scripted_upstream() as well,
        Upstream(UpstreamPolicy(well.url, keep_alive=0.1)) as upstream,
    ):
        await body_of(upstream)
        await body_of(upstream)
        assert well.connections == 1
        await asyncio.sleep(0.3)
        await body_of(upstream)

    assert well.connections == 2


async def test_one_that_waits_gets_the_connection_that_becomes_free() -> None:
    async with (
        scripted_upstream() as well,
        Upstream(UpstreamPolicy(well.url, max_connections=1)) as upstream,
        asyncio.TaskGroup() as tasks,
    ):
        asked = [tasks.create_task(body_of(upstream)) for _ in range(5)]
        bodies = [await each for each in asked]

    assert bodies == [b"ok"] * 5
    assert well.connections == 1


async def test_one_that_is_sent_again_and_one_that_waits_both_get_their_turn() -> None:
    """A full pool, and a kept connection that upstream drops under a request."""
    dropped = asyncio.Event()

    async def talk(conversation: Conversation) -> None:
        if len(well.conversations) == 2:
            await dropped.wait()
            conversation.abort()
        else:
            await conversation.say(OK)

    async with (
        scripted_upstream(talk) as well,
        Upstream(UpstreamPolicy(well.url, max_connections=1)) as upstream,
        asyncio.TaskGroup() as tasks,
    ):
        assert await body_of(upstream) == b"ok"
        first = tasks.create_task(body_of(upstream))
        await until(lambda: len(well.conversations) == 2)
        second = tasks.create_task(body_of(upstream))
        await asyncio.sleep(0)
        dropped.set()

        assert (await first, await second) == (b"ok", b"ok")


async def test_what_is_in_flight_when_the_pool_ends_is_told_so() -> None:
    """Also where it would be sent again, had it been lost otherwise."""
    waiting = asyncio.Event()

    async def talk(conversation: Conversation) -> None:
        if len(well.conversations) == 1:
            await conversation.say(OK)
        else:
            waiting.set()
            await conversation.read_to_end()

    async with scripted_upstream(talk) as well, asyncio.TaskGroup() as tasks:
        async with Upstream(UpstreamPolicy(well.url)) as upstream:
            await body_of(upstream)
            asked = tasks.create_task(_failure(upstream))
            await waiting.wait()

        assert await asked in (UpstreamError.RESET, UpstreamError.CONNECT)


async def _failure(upstream: Upstream) -> UpstreamError:
    with pytest.raises(UpstreamFailed) as failed:
        await body_of(upstream)
    return failed.value.error


async def test_a_101_that_names_no_protocol_switches_nothing() -> None:
    async def talk(conversation: Conversation) -> None:
        await conversation.say(b"HTTP/1.1 101 Switching Protocols\r\n\r\n" + OK)

    async with (
        scripted_upstream(talk) as well,
        Upstream(UpstreamPolicy(well.url)) as upstream,
    ):
        with pytest.raises(UpstreamFailed) as failed:
            await upstream.ask("GET", "/", HOST, None, upgrade=True)

    assert failed.value.error is UpstreamError.MALFORMED
