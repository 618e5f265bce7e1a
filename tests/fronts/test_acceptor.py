"""The acceptor, with a protocol that only says hello: places, TLS that never comes, short supply.

What descriptors have to do with it is tested on the real process: ``tests/e2e/test_slow_clients``.
"""

import asyncio
import contextlib
import errno
import logging
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import pytest
import trustme
import uvloop
from typing_extensions import override

from sidecar.core.connections import ConnectionRefusal
from sidecar.fronts.acceptor import Acceptor, Greeting, listening_queues
from sidecar.fronts.admission import Admission, Place, Room
from tests.fakes.front import read_all
from tests.fakes.observer import RecordingObserver
from tests.fakes.waiting import standing, until


class Hello(asyncio.Protocol):
    def __init__(self, place: Place) -> None:
        self._place = place

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast("asyncio.Transport", transport).write(b"hello")

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._place.leave()


class Talkative(Hello):
    """Says much at once."""

    TEXT = bytes(8_000_000)
    unwritten: Callable[[], int]

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        stream = cast("asyncio.Transport", transport)
        stream.write(self.TEXT)
        self.unwritten = stream.get_write_buffer_size


class Scarce(socket.socket):
    """A queue on which accepting fails as often as it is told to."""

    failures = 0
    asked = 0

    @override
    def accept(self) -> tuple[socket.socket, object]:
        type(self).asked += 1
        if type(self).failures:
            type(self).failures -= 1
            raise OSError(errno.EMFILE, "Too many open files")
        return super().accept()


@dataclass
class Door:
    acceptor: Acceptor
    observer: RecordingObserver
    address: tuple[str, int]

    async def hear(self) -> bytes:
        reader, writer = await asyncio.open_connection(*self.address)
        try:
            return await asyncio.wait_for(reader.read(5), 5)
        finally:
            writer.close()


@asynccontextmanager
async def door(
    room: Room | None = None,
    tls: ssl.SSLContext | None = None,
    handshake_seconds: float = 5.0,
    queue: socket.socket | None = None,
    protocol: Callable[[Place], asyncio.BaseProtocol] = Hello,
) -> AsyncIterator[Door]:
    queues = [queue] if queue is not None else await listening_queues("127.0.0.1", 0, 64)
    observer = RecordingObserver()
    greeting = Greeting(protocol, tls, handshake_seconds)
    acceptor = Acceptor(queues, greeting, Admission(room or Room(), observer))
    acceptor.start()
    try:
        yield Door(acceptor, observer, queues[0].getsockname()[:2])
    finally:
        await acceptor.close()


def certificate() -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    trustme.CA().issue_cert("sidecar.example").configure_cert(context)
    return context


async def test_whoever_finds_no_place_is_told_to_come_back_and_the_next_is_served() -> None:
    async with door(Room(1)) as here:
        reader, writer = await asyncio.open_connection(*here.address)
        assert await reader.read(5) == b"hello"

        late, late_writer = await asyncio.open_connection(*here.address)
        answer = await asyncio.wait_for(read_all(late), 5)
        assert answer.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
        assert b"Retry-After: 1\r\n" in answer
        late_writer.close()
        assert here.observer.connections_refused == {ConnectionRefusal.LIMIT: 1}

        writer.close()
        await until(lambda: not here.observer.connected_now)
        assert await here.hear() == b"hello"


async def test_the_kernel_keeps_little_for_a_client_that_does_not_read() -> None:
    """Megabytes for each, if it is let: they count as memory of a container."""
    made: list[Talkative] = []

    def make(place: Place) -> Talkative:
        made.append(Talkative(place))
        return made[-1]

    async with door(protocol=make) as here:
        with socket.socket() as client:
            client.setblocking(False)  # noqa: FBT003
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            await asyncio.get_running_loop().sock_connect(client, here.address)
            await until(lambda: made and hasattr(made[0], "unwritten"))
            left = await standing(made[0].unwritten)
            assert len(Talkative.TEXT) - left < 500_000


async def test_a_handshake_that_never_comes_has_a_place_only_for_a_while() -> None:
    """It is counted before the handshake: else any number of connections could wait in one."""
    async with door(Room(1), certificate(), handshake_seconds=0.3) as here:
        silent, writer = await asyncio.open_connection(*here.address)
        await until(lambda: here.observer.connected_now == 1)

        other, other_writer = await asyncio.open_connection(*here.address)
        # Plain text would be no answer to a handshake.
        assert await asyncio.wait_for(read_all(other), 5) == b""
        assert await asyncio.wait_for(read_all(silent), 5) == b""
        await until(lambda: not here.observer.connected_now)
        writer.close()
        other_writer.close()


async def test_a_handshake_that_fails_leaves_its_place() -> None:
    async with door(Room(1), certificate()) as here:
        for _ in range(3):
            reader, writer = await asyncio.open_connection(*here.address)
            writer.write(b"GET / HTTP/1.1\r\n\r\n")
            await asyncio.wait_for(read_all(reader), 5)
            writer.close()
            await until(lambda: not here.observer.connected_now)
        assert not here.observer.connections_refused


async def test_without_descriptors_it_waits_without_spinning_and_then_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    Scarce.failures, Scarce.asked = 3, 0
    with Scarce() as queue:
        queue.bind(("127.0.0.1", 0))
        queue.listen()
        queue.setblocking(False)  # noqa: FBT003
        with caplog.at_level(logging.WARNING):
            async with door(queue=queue) as here:
                assert await here.hear() == b"hello"
                assert here.observer.connections_refused == {ConnectionRefusal.RESOURCES: 3}

    # Three in vain, the one that was served, and the one that found the queue empty.
    assert Scarce.asked <= 6
    assert [line.getMessage() for line in caplog.records] == [
        "connections are refused (resources: [Errno 24] Too many open files); 0 are open"
    ]


async def test_who_waits_when_it_stops_is_served_and_who_comes_later_is_not() -> None:
    async with door() as here:
        with socket.create_connection(here.address) as client:
            client.setblocking(False)  # noqa: FBT003
            await here.acceptor.stop()
            hello = await asyncio.get_running_loop().sock_recv(client, 5)
            assert hello == b"hello"
        with pytest.raises(OSError, match="Connect call failed"):
            await here.hear()


async def test_a_name_of_several_addresses_is_listened_on_at_each() -> None:
    queues = await listening_queues("localhost", 0, 8)
    try:
        assert {queue.getsockname()[0] for queue in queues} <= {"127.0.0.1", "::1"}
        assert queues
    finally:
        for queue in queues:
            queue.close()


async def test_who_has_not_shaken_hands_when_it_closes_is_let_go() -> None:
    async with door(tls=certificate(), handshake_seconds=60.0) as here:
        reader, writer = await asyncio.open_connection(*here.address)
        await until(lambda: here.observer.connected_now == 1)
        await here.acceptor.close()

        assert await asyncio.wait_for(read_all(reader), 5) == b""
        assert here.observer.connected_now == 0
        writer.close()


async def test_a_door_that_stops_while_it_waits_for_resources_tries_no_more() -> None:
    Scarce.failures, Scarce.asked = 10, 0
    with Scarce() as queue:
        queue.bind(("127.0.0.1", 0))
        queue.listen()
        queue.setblocking(False)  # noqa: FBT003
        async with door(queue=queue) as here:
            with socket.create_connection(here.address):
                await until(lambda: Scarce.asked == 1)
                await here.acceptor.stop()
                asked = Scarce.asked
                await asyncio.sleep(0.4)
                assert Scarce.asked == asked


async def test_one_of_several_addresses_that_is_taken_closes_the_others() -> None:
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as taken:
        port = taken.getsockname()[1]
        with contextlib.suppress(OSError):
            for queue in await listening_queues("localhost", port, 8):
                queue.close()
        with socket.create_server(("127.0.0.1", port)):
            pass  # nobody is left who listens there


async def test_an_address_that_is_taken_is_an_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match="in use"):
            await listening_queues("127.0.0.1", port, 8)


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_small_answers_are_sent_at_once_in_either_loop(loop: object) -> None:
    """Nagle's algorithm would hold them back until the client has acknowledged the last ones."""
    made: list[socket.socket] = []

    class Looked(Hello):
        @override
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            made.append(transport.get_extra_info("socket"))
            super().connection_made(transport)

    async def main() -> int:
        queues = await listening_queues("127.0.0.1", 0, 8)
        acceptor = Acceptor(
            queues, Greeting(Looked, None, 5.0), Admission(Room(), RecordingObserver())
        )
        acceptor.start()
        reader, writer = await asyncio.open_connection(*queues[0].getsockname()[:2])
        await reader.read(5)
        found: int = made[0].getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        writer.close()
        await acceptor.close()
        return found

    with asyncio.Runner(loop_factory=loop) as runner:  # type: ignore[arg-type]
        assert runner.run(main())


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_handshakes_that_fail_leave_no_descriptor_in_either_loop(loop: object) -> None:
    def descriptors() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    async def fail(here: Door, number: int) -> None:
        _, writer = await asyncio.open_connection(*here.address)
        if number % 3 == 1:
            writer.write(b"GET / HTTP/1.1\r\n\r\n")
        elif number % 3 == 2:
            writer.transport.abort()
        await asyncio.sleep(0.5)
        writer.close()

    async def main() -> int:
        async with door(tls=certificate(), handshake_seconds=0.2) as here:
            await asyncio.gather(*(fail(here, number) for number in range(6)))
            before = descriptors()
            await asyncio.gather(*(fail(here, number) for number in range(90)))
            await until(lambda: not here.observer.connected_now)
            await asyncio.sleep(0.1)
            return descriptors() - before

    with asyncio.Runner(loop_factory=loop) as runner:  # type: ignore[arg-type]
        assert runner.run(main()) <= 2
