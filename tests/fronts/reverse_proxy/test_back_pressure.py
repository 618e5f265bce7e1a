"""Those who do not read: nobody's octets are kept for them beyond a bound, nor for ever."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from sidecar.fronts.listener import ListenPolicy
from sidecar.fronts.reverse_proxy.client_connection import ClientConnection
from sidecar.fronts.reverse_proxy.relay import Relay
from sidecar.fronts.reverse_proxy.upstream import Answer, UpstreamPolicy
from sidecar.fronts.reverse_proxy.upstream.connection import Connection
from sidecar.ports import UpstreamError
from tests.fakes.front import Front, read_all, running_front, status_of
from tests.fakes.receiver import Books
from tests.fakes.stages import tasks_of_ours
from tests.fakes.upstream import OK, Conversation, scripted_upstream
from tests.fakes.waiting import standing, until
from tests.fakes.world import World

GIGABYTE = 1_000_000_000
# What two pairs of sockets may hold on their way; what is held by us is asserted to be far less.
ON_ITS_WAY = 80_000_000
HELD = 1_000_000
UNREAD = 100_000  # of one answer, by us
PIECE = bytes(65536)

AT_ONCE = ("GET /admin/x HTTP/1.1", (), b"")
BY_A_TASK = ("POST /admin/x HTTP/1.1", (b"Transfer-Encoding: chunked",), b"0\r\n\r\n")
WAYS = pytest.mark.parametrize("asked", [AT_ONCE, BY_A_TASK], ids=["at once", "by a task"])
Asked = tuple[str, tuple[bytes, ...], bytes]


def admin() -> World:
    world = World()
    world.enroll("robot", "admin")
    return world


def clear(front: Front) -> bool:
    return (
        Books(front.parts.upstream).are_clear
        and not any(front.world.observer.in_flight_now.values())
        and not front.proxy._server.connections
        and not tasks_of_ours()
    )


@asynccontextmanager
async def unreading(
    front: Front, octets: bytes, window: int = 4096
) -> AsyncIterator[socket.socket]:
    """Yield a client that has sent this and reads only what a test reads."""
    with socket.socket() as client:
        client.setblocking(False)  # noqa: FBT003
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(client, front.address)
        await loop.sock_sendall(client, octets)
        yield client


def ends_of(front: Front) -> tuple[ClientConnection, Connection]:
    (client,) = front.proxy._server.connections
    (upstream,) = front.parts.upstream._addresses[0].busy
    assert isinstance(client, ClientConnection)
    return client, upstream


def unread_of(front: Front) -> int:
    """Return how much of the one answer is kept here for its client."""
    client, upstream = ends_of(front)
    assert client.transport is not None
    assert upstream._carriage is not None
    receiver = upstream._carriage.receiver
    assert isinstance(receiver, Relay | Answer)
    return client.transport.get_write_buffer_size() + sum(map(len, receiver._pieces))


def upstream_is_stopped(front: Front) -> bool:
    return any(each.is_paused for each in front.parts.upstream._addresses[0].busy)


@dataclass
class Endless:
    """Answers with a gigabyte; ``written`` is how much of it has gone."""

    written: int = 0

    async def talk(self, conversation: Conversation) -> None:
        if conversation.values("Transfer-Encoding"):
            await conversation.reader.readuntil(b"0\r\n\r\n")
        await conversation.say(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % GIGABYTE)
        while self.written < GIGABYTE:
            await conversation.say(PIECE)
            self.written += len(PIECE)


@WAYS
async def test_a_gigabyte_that_nobody_reads_stops_upstream_and_is_given_up(asked: Asked) -> None:
    endless = Endless()
    line, fields, body = asked
    async with (
        scripted_upstream(endless.talk) as scripted,
        running_front(scripted.url, world=admin(), idle_seconds=2.5) as front,
        unreading(front, front.request(line, *fields, body=body)),
    ):
        await until(lambda: upstream_is_stopped(front))
        assert await standing(lambda: endless.written) < ON_ITS_WAY
        assert 0 < unread_of(front) < UNREAD

        await until(lambda: clear(front))
        await asyncio.wait_for(scripted.last.ended.wait(), 5)
        # Not upstream's fault.
        assert not front.world.observer.upstream_failures


@WAYS
async def test_who_stops_reading_in_the_midst_costs_less_than_a_megabyte(asked: Asked) -> None:
    """More is read at a time by then: the client had kept up."""
    endless = Endless()
    line, fields, body = asked
    async with (
        scripted_upstream(endless.talk) as scripted,
        running_front(scripted.url, world=admin(), idle_seconds=60) as front,
    ):
        asking = front.request(line, *fields, body=body)
        async with unreading(front, asking, window=1_000_000) as client:
            came = 0
            while came < 20_000_000:
                came += len(await asyncio.get_running_loop().sock_recv(client, 1_000_000))
            await standing(lambda: endless.written)
            assert UNREAD < unread_of(front) < HELD
        await until(lambda: clear(front))


@WAYS
async def test_a_cut_waits_for_nobody_who_does_not_read(asked: Asked) -> None:
    endless = Endless()
    line, fields, body = asked
    async with (
        scripted_upstream(endless.talk) as scripted,
        running_front(scripted.url, world=admin(), idle_seconds=60) as front,
        unreading(front, front.request(line, *fields, body=body)),
    ):
        await until(lambda: upstream_is_stopped(front))
        assert front.cut() == 1

        await until(lambda: clear(front), seconds=5)
        await asyncio.wait_for(scripted.last.ended.wait(), 5)


async def test_a_cut_waits_for_no_upstream_that_does_not_read() -> None:
    async def flood(client: socket.socket) -> None:
        while True:
            await asyncio.get_running_loop().sock_sendall(client, PIECE)

    async def talk(_: Conversation) -> None:
        await over.wait()

    over = asyncio.Event()
    length = b"Content-Length: %d" % GIGABYTE
    async with (
        scripted_upstream(talk) as scripted,
        running_front(scripted.url, world=admin(), idle_seconds=60) as front,
        unreading(front, front.request("POST /admin/x HTTP/1.1", length)) as client,
        asyncio.TaskGroup() as tasks,
    ):
        flooding = tasks.create_task(flood(client))
        await until(lambda: scripted.conversations and front.parts.upstream._addresses[0].busy)
        _, upstream = ends_of(front)
        await until(lambda: upstream.writing_paused)
        assert front.cut() == 1
        response = await asyncio.wait_for(asyncio.get_running_loop().sock_recv(client, 65536), 5)
        flooding.cancel()
        assert status_of(response) == 401
        client.close()

        await until(lambda: clear(front), seconds=5)
        over.set()


@WAYS
async def test_who_reads_slowly_gets_it_all_and_in_order(asked: Asked) -> None:
    whole = b"".join(b"%09d\n" % number for number in range(1_000_000))

    async def talk(conversation: Conversation) -> None:
        if conversation.values("Transfer-Encoding"):
            await conversation.reader.readuntil(b"0\r\n\r\n")
        await conversation.say(b"HTTP/1.1 200 OK\r\n\r\n")
        await conversation.say(whole)
        conversation.writer.close()

    line, fields, body = asked
    octets = bytearray()
    async with (
        scripted_upstream(talk) as scripted,
        running_front(scripted.url, world=admin()) as front,
    ):
        last = front.request(line, b"Connection: close", *fields, body=body)
        async with unreading(front, last) as client:
            loop = asyncio.get_running_loop()
            await until(lambda: upstream_is_stopped(front))
            while data := await loop.sock_recv(client, 1_000_000):
                octets += data
        await until(lambda: clear(front))

    assert _unchunked(bytes(octets.partition(b"\r\n\r\n")[2])) == whole


def _unchunked(octets: bytes) -> bytes:
    pieces: list[bytes] = []
    at = 0
    while True:
        end = octets.index(b"\r\n", at)
        size = int(octets[at:end], 16)
        if not size:
            return b"".join(pieces)
        pieces.append(octets[end + 2 : end + 2 + size])
        at = end + 2 + size + 2


@pytest.mark.parametrize(
    ("fields", "piece"),
    [
        ((b"Content-Length: %d" % GIGABYTE,), PIECE),
        ((b"Transfer-Encoding: chunked",), b"10000\r\n" + PIECE + b"\r\n"),
    ],
    ids=["of a length", "in chunks"],
)
async def test_a_gigabyte_that_upstream_does_not_read_stops_the_client_and_is_given_up(
    fields: tuple[bytes, ...], piece: bytes
) -> None:
    sent = 0

    async def flood(client: socket.socket) -> None:
        nonlocal sent
        while sent < GIGABYTE:
            await asyncio.get_running_loop().sock_sendall(client, piece)
            sent += len(piece)

    async def talk(conversation: Conversation) -> None:
        await given_up.wait()
        await conversation.read_to_end()

    given_up = asyncio.Event()
    async with (
        scripted_upstream(talk) as scripted,
        running_front(scripted.url, world=admin(), idle_seconds=2.5) as front,
        unreading(front, front.request("POST /admin/x HTTP/1.1", *fields)) as client,
        asyncio.TaskGroup() as tasks,
    ):
        flooding = tasks.create_task(flood(client))
        await until(lambda: front.proxy._server.connections and sent > HELD)
        await until(lambda: front.parts.upstream._addresses[0].busy)
        ours, upstream = ends_of(front)
        await until(lambda: ours._reading_paused and upstream.writing_paused)
        assert upstream.transport.get_write_buffer_size() < HELD
        assert await standing(lambda: sent) < ON_ITS_WAY
        response = await asyncio.wait_for(asyncio.get_running_loop().sock_recv(client, 65536), 10)
        flooding.cancel()
        given_up.set()
        client.close()

        assert status_of(response) == 504
        assert b"Connection: close" in response
        assert front.world.observer.upstream_failures[-1][1] is UpstreamError.IDLE_TIMEOUT
        await until(lambda: clear(front))


async def test_answers_that_nobody_reads_hold_up_the_requests_behind_them() -> None:
    """Small ones, and many: those in the socket's buffer are the last that were asked for."""
    text = b"x" * 20_000

    async def talk(conversation: Conversation) -> None:
        await conversation.say(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(text) + text)

    async with (
        scripted_upstream(talk) as scripted,
        running_front(scripted.url, idle_seconds=2.5) as front,
    ):
        _, writer = await asyncio.open_connection(*front.address)
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(front.request() * 5000)
        await until(lambda: scripted.conversations)
        asked = await standing(lambda: len(scripted.conversations))
        assert asked < 5000
        (client,) = front.proxy._server.connections
        assert client.transport is not None
        assert client.transport.get_write_buffer_size() < HELD

        await until(lambda: clear(front))
        assert len(scripted.conversations) == asked
        writer.close()


@WAYS
async def test_who_reads_late_gets_all_answers_in_their_order(asked: Asked) -> None:
    """Each is asked for once those before it are taken; the last is taken to its last octet."""
    text = b"x" * 50_000

    async def talk(conversation: Conversation) -> None:
        if conversation.values("Transfer-Encoding"):
            await conversation.reader.readuntil(b"0\r\n\r\n")
        head = b"HTTP/1.1 200 OK\r\nX-Number: %d\r\nContent-Length: %d\r\n\r\n"
        await conversation.say(head % (len(scripted.conversations), len(text)) + text)

    line, fields, body = asked
    count = 200
    came = bytearray()
    async with (
        scripted_upstream(talk) as scripted,
        running_front(scripted.url, world=admin()) as front,
    ):
        one = front.request(line, *fields, body=body)
        last = front.request(line, b"Connection: close", *fields, body=body)
        async with unreading(front, one * (count - 1) + last, window=30_000) as client:
            await until(lambda: scripted.conversations)
            assert await standing(lambda: len(scripted.conversations)) < count
            while data := await asyncio.get_running_loop().sock_recv(client, 1_000_000):
                came += data
        await until(lambda: clear(front))

    answers = bytes(came).split(b"HTTP/1.1 200 OK\r\n")[1:]
    numbers = [int(each.split(b"\r\n")[0].removeprefix(b"X-Number: ")) for each in answers]
    assert numbers == list(range(1, count + 1))
    assert all(each.endswith(b"\r\n" + text) for each in answers)


async def test_requests_behind_one_that_takes_long_are_not_all_read() -> None:
    """Nothing more is read then, and it is noticed all the same that their client has left."""
    listen = ListenPolicy("127.0.0.1", 0, idle_timeout=1.0)
    async with (
        scripted_upstream(_hold) as scripted,
        running_front(scripted.url, listen=listen) as front,
    ):
        _, writer = await asyncio.open_connection(*front.address)
        writer.write(front.request() * 20_000)
        await until(lambda: scripted.conversations)
        unsent = await standing(writer.transport.get_write_buffer_size)
        (client,) = front.proxy._server.connections

        assert unsent
        assert len(client._messages) <= 2 * client._max_msg_queue_size
        writer.transport.abort()
        await until(lambda: clear(front))
        assert len(scripted.conversations) == 1


async def _hold(conversation: Conversation) -> None:
    await conversation.read_to_end()


async def test_a_drain_lets_an_answer_end_that_its_client_reads_slowly() -> None:
    text = bytes(10_000_000)

    async def talk(conversation: Conversation) -> None:
        await conversation.say(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(text) + text)

    async with (
        scripted_upstream(talk) as scripted,
        running_front(scripted.url) as front,
        asyncio.TaskGroup() as tasks,
    ):
        octets = bytearray()
        loop = asyncio.get_running_loop()
        async with unreading(front, front.request() * 2, window=100_000) as client:
            await until(lambda: upstream_is_stopped(front))
            drained = tasks.create_task(front.proxy.drain(20))
            while data := await loop.sock_recv(client, 1_000_000):
                assert not drained.done()
                octets += data
        await drained
        assert clear(front)

    # The one behind it was asked before the drain, and is told to come back elsewhere after it.
    first, second = octets.split(b"HTTP/1.1 200 OK\r\n")[1:]
    assert b"Connection: close" not in first[:200]
    assert b"Connection: close" in second[:200]
    assert len(first.partition(b"\r\n\r\n")[2]) == len(text)
    assert len(second.partition(b"\r\n\r\n")[2]) == len(text)


@pytest.mark.parametrize(
    "way", [lambda front: front.request(), lambda front: front.request(AT_ONCE[0])]
)
async def test_a_drain_answers_what_waits_for_a_connection(way: Callable[[Front], bytes]) -> None:
    async def talk(conversation: Conversation) -> None:
        await going.wait()
        await conversation.say(OK)

    going = asyncio.Event()
    policy = UpstreamPolicy("", max_connections=1)
    async with (
        scripted_upstream(talk) as scripted,
        running_front(scripted.url, world=admin(), policy=policy) as front,
        asyncio.TaskGroup() as tasks,
    ):
        clients = [await asyncio.open_connection(*front.address) for _ in range(3)]
        for _, writer in clients:
            writer.write(way(front))
        await until(lambda: Books(front.parts.upstream).waiting == 2)
        drained = tasks.create_task(front.proxy.drain(20))
        await until(lambda: not front.proxy.is_accepting)
        going.set()
        for reader, writer in clients:
            response = await asyncio.wait_for(read_all(reader), 5)
            assert status_of(response) == 200
            writer.close()
        await drained
        assert clear(front)
