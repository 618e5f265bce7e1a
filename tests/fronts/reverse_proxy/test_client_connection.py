"""A client's connection: requests in their order, whichever way each goes; and its timers."""

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress

import pytest
from aiohttp.web_protocol import RequestHandler

from sidecar.fronts.listener import ListenPolicy
from sidecar.fronts.reverse_proxy.client_connection import ClientConnection
from sidecar.fronts.reverse_proxy.handler import Handler
from sidecar.fronts.reverse_proxy.server import listening
from tests.fakes.front import Front, read_all, running_front, status_of
from tests.fakes.upstream import OK, Conversation, scripted_upstream
from tests.fakes.waiting import until
from tests.fakes.world import World

PRIVATE = (
    "_buffer_paused", "_close", "_force_close", "_handle_request", "_keepalive_timeout", "_loop",
    "_max_msg_queue_size", "_message_tail", "_messages", "_msg_queue_resume_size",
    "_next_keepalive_close_time", "_parser", "_pause_reading_for_buffer", "_paused",
    "_payload_parser", "_process_keepalive", "_request_count", "_resume_reading_if_drained",
    "_upgraded", "_waiter",
)  # fmt: skip


def test_the_private_names_of_aiohttp_that_are_used_are_there() -> None:
    slots: set[str] = set()
    for kind in RequestHandler.__mro__:
        slots |= set(vars(kind))
        slots |= set(getattr(kind, "__slots__", ()))

    assert set(PRIVATE) <= slots


def admin() -> World:
    world = World()
    world.enroll("robot", "admin")
    return world


async def answer_by_path(conversation: Conversation) -> None:
    path = conversation.request_line.split()[1]
    for value in conversation.values("Content-Length"):
        await conversation.read(int(value))
    if conversation.values("Transfer-Encoding"):
        await conversation.reader.readuntil(b"0\r\n\r\n")
    await conversation.say(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(path))
    await conversation.say(path.encode())


async def test_requests_that_go_both_ways_are_answered_in_their_order() -> None:
    async with (
        scripted_upstream(answer_by_path) as upstream,
        running_front(upstream.url, world=admin()) as front,
    ):
        upload = front.request("POST /admin/2 HTTP/1.1", b"Transfer-Encoding: chunked")
        octets = b"".join(
            [
                front.request("GET /admin/1 HTTP/1.1"),
                upload + b"3\r\nabc\r\n0\r\n\r\n",
                front.request("GET /admin/3 HTTP/1.1"),
                b"GET /admin/4 HTTP/1.1\r\nHost: a\r\n\r\n",
                front.request("PUT /admin/5 HTTP/1.1", b"Content-Length: 3", body=b"abc"),
                front.request("GET /admin/6 HTTP/1.1", b"Connection: close"),
            ]
        )
        response = await front.send(octets)

    parts = response.split(b"HTTP/1.1 ")[1:]
    assert [part[:3] for part in parts] == [b"200", b"200", b"200", b"401", b"200", b"200"]
    assert [part[-8:] for part in parts if part.startswith(b"200")] == [
        b"/admin/1", b"/admin/2", b"/admin/3", b"/admin/5", b"/admin/6",
    ]  # fmt: skip


@pytest.mark.parametrize("protocol", [b"h2c", b"websocket", b"TLS/1.0"])
async def test_nothing_follows_a_switch_of_protocols_that_was_not_made(protocol: bytes) -> None:
    """What is pipelined behind it is lost in the parser: half of it must not be read as another."""
    async with (
        scripted_upstream(answer_by_path) as upstream,
        running_front(upstream.url, world=admin()) as front,
    ):
        switch = (b"Connection: Upgrade", b"Upgrade: " + protocol)
        reader, writer = await asyncio.open_connection(*front.address)
        writer.write(
            front.request("GET /admin/1 HTTP/1.1", *switch)
            + front.request("POST /admin/2 HTTP/1.1", b"Content-Length: 300", body=b"x")
        )
        await until(lambda: front.world.observer.answers)
        with suppress(ConnectionError):
            writer.write(front.request("GET /admin/3 HTTP/1.1"))
            response = await read_all(reader)
        writer.close()

    assert response.count(b"HTTP/1.1 ") == 1
    assert b"Connection: close" in response
    assert [each.request_line.split()[1] for each in upstream.conversations] in (
        [], ["/admin/1"],
    )  # fmt: skip


async def test_a_request_behind_one_that_is_relayed_waits_for_its_end() -> None:
    async def talk(conversation: Conversation) -> None:
        if "/1" in conversation.request_line:
            await going.wait()
        await conversation.say(OK)

    going = asyncio.Event()
    async with scripted_upstream(talk) as upstream, running_front(upstream.url) as front:
        _, writer = await asyncio.open_connection(*front.address)
        writer.write(front.request("GET /reports?/1 HTTP/1.1"))
        await until(lambda: upstream.conversations)
        writer.write(front.request("GET /reports?/2 HTTP/1.1"))
        await asyncio.sleep(0.05)
        assert len(upstream.conversations) == 1
        going.set()
        await until(lambda: len(upstream.conversations) == 2)
        writer.close()


async def test_what_is_no_request_is_refused_after_those_before_it() -> None:
    async def talk(conversation: Conversation) -> None:
        await going.wait()
        await conversation.say(OK)

    going = asyncio.Event()
    async with scripted_upstream(talk) as upstream, running_front(upstream.url) as front:
        reader, writer = await asyncio.open_connection(*front.address)
        writer.write(front.request())
        await until(lambda: upstream.conversations)
        writer.write(b"NONSENSE\r\n\r\n")
        await asyncio.sleep(0.05)
        going.set()
        response = await asyncio.wait_for(read_all(reader), 5)
        writer.close()

    parts = response.split(b"HTTP/1.1 ")[1:]
    assert [part[:3] for part in parts] == [b"200", b"400"]


async def waited(front: Front, idle_timeout: float, octets: bytes) -> bytes:
    """Send to a listener with this timeout; return all that comes until it ends."""
    policy = ListenPolicy("127.0.0.1", 0, idle_timeout=idle_timeout)
    async with listening(Handler(front.parts), policy) as proxy:
        host, _, port = proxy.url.removeprefix("http://").rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(octets)
        try:
            return await asyncio.wait_for(read_all(reader), 10)
        finally:
            writer.close()


async def test_an_idle_connection_is_closed_and_one_in_use_is_not() -> None:
    async def talk(conversation: Conversation) -> None:
        await asyncio.sleep(0.5)  # more than the timeout
        await conversation.say(OK)

    async with scripted_upstream(talk) as upstream, running_front(upstream.url) as front:
        began = asyncio.get_running_loop().time()
        response = await waited(front, 0.2, front.request())

    assert status_of(response) == 200
    assert asyncio.get_running_loop().time() - began >= 0.6


async def test_a_client_that_leaves_leaves_nothing_behind() -> None:
    async def talk(conversation: Conversation) -> None:
        await conversation.read_to_end()

    async with scripted_upstream(talk) as upstream, running_front(upstream.url) as front:
        _, writer = await asyncio.open_connection(*front.address)
        writer.write(front.request())
        await until(lambda: upstream.conversations)
        writer.close()
        await asyncio.wait_for(upstream.last.ended.wait(), 5)
        await until(lambda: front.world.observer.answers)

        assert front.world.observer.answers[-1][1] == 499
        assert not any(front.world.observer.in_flight_now.values())


async def test_what_waits_to_be_read_is_not_waited_for_for_ever() -> None:
    """A response that ends its connection, to a client that does not read it."""
    body = bytes(8_000_000)

    async def talk(conversation: Conversation) -> None:
        await conversation.say(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

    async with (
        scripted_upstream(talk) as upstream,
        running_front(upstream.url, idle_seconds=0.2) as front,
    ):
        reader, writer = await asyncio.open_connection(*front.address, limit=1024)
        writer.write(front.request("GET /reports HTTP/1.1", b"Connection: close"))
        await until(lambda: front.world.observer.answers)
        await asyncio.sleep(0.4)

        got = await asyncio.wait_for(read_all(reader), 5)
        writer.close()
    assert len(got) < len(body)


@pytest.mark.parametrize(
    ("line", "fields", "stays"),
    [
        ("GET /reports HTTP/1.1", (), True),
        ("GET /reports HTTP/1.1", (b"Connection: close",), False),
        ("GET /reports HTTP/1.0", (), False),
        ("GET /reports HTTP/1.0", (b"Connection: keep-alive",), True),
    ],
)
async def test_a_connection_lives_as_long_as_its_client_asks(
    *, line: str, fields: tuple[bytes, ...], stays: bool
) -> None:
    async with scripted_upstream() as upstream, running_front(upstream.url) as front:
        reader, writer = await asyncio.open_connection(*front.address)
        writer.write(front.request(line, *fields))
        await reader.readuntil(b"\r\n\r\nok")
        writer.write(front.request(line, *fields))
        with suppress(ConnectionError):
            await asyncio.wait_for(reader.read(1), 5)
        writer.close()

    assert len(upstream.conversations) == (2 if stays else 1)


async def half_close(front: Front, octets: bytes) -> bytes:
    """Send, end our side as ``nc -N`` does, and return all that comes."""
    reader, writer = await asyncio.open_connection(*front.address)
    writer.write(octets)
    writer.write_eof()
    try:
        return await asyncio.wait_for(read_all(reader), 15)
    finally:
        writer.close()


CHUNKS = (b"Transfer-Encoding: chunked",)
ASKED = {
    "at once": lambda front: front.request("GET /admin/1 HTTP/1.1"),
    "at once, with its body": lambda front: front.request(
        "PUT /admin/1 HTTP/1.1", b"Content-Length: 3", body=b"abc"
    ),
    "by a task": lambda front: front.request(
        "POST /admin/1 HTTP/1.1", *CHUNKS, body=b"3\r\nabc\r\n0\r\n\r\n"
    ),
}


@pytest.mark.parametrize("asked", ASKED.values(), ids=ASKED)
async def test_a_client_that_has_asked_and_ends_its_side_is_answered(
    asked: Callable[[Front], bytes],
) -> None:
    async def talk(conversation: Conversation) -> None:
        await ended.wait()
        await answer_by_path(conversation)

    ended = asyncio.Event()
    async with (
        scripted_upstream(talk) as upstream,
        running_front(upstream.url, world=admin()) as front,
        asyncio.TaskGroup() as tasks,
    ):
        asking = tasks.create_task(half_close(front, asked(front)))
        await until(lambda: [each for each in connections_of(front) if each._has_ended])
        ended.set()
        response = await asking
        assert status_of(response) == 200
        assert response.endswith(b"/admin/1")
        await until(lambda: not connections_of(front))


def connections_of(front: Front) -> list[ClientConnection]:
    every = front.proxy._server.connections
    return [each for each in every if isinstance(each, ClientConnection)]


async def test_all_that_was_asked_before_an_end_is_answered_in_its_order() -> None:
    """At once, by a task, refused, and at once again."""
    async with (
        scripted_upstream(answer_by_path) as upstream,
        running_front(upstream.url, world=admin()) as front,
    ):
        response = await half_close(
            front,
            ASKED["at once"](front)
            + ASKED["by a task"](front)
            + ASKED["at once"](front)
            + b"GET /admin/4 HTTP/1.1\r\nHost: a\r\n\r\n",
        )
        await until(lambda: not connections_of(front))

    assert [part[:3] for part in response.split(b"HTTP/1.1 ")[1:]] == [b"200"] * 3 + [b"401"]


async def test_a_long_answer_goes_on_to_who_has_ended_its_side() -> None:
    """Longer than it is waited for: each piece shows that the client is still there."""

    async def talk(conversation: Conversation) -> None:
        await conversation.say(b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n")
        for _ in range(4):
            await conversation.say(b"piece")
            await asyncio.sleep(0.4)

    async with scripted_upstream(talk) as upstream, running_front(upstream.url) as front:
        response = await half_close(front, front.request())

    assert response.endswith(b"piece" * 4)


@pytest.mark.parametrize(
    "asked",
    [
        pytest.param(lambda _: b"", id="nothing"),
        pytest.param(lambda front: front.request()[:-4], id="half a head"),
        pytest.param(
            lambda front: front.request("POST /admin/1 HTTP/1.1", *CHUNKS, body=b"3\r\nabc"),
            id="half a body",
        ),
        pytest.param(
            lambda front: front.request("POST /admin/1 HTTP/1.1", b"Content-Length: 9", body=b"a"),
            id="a part of its length",
        ),
    ],
)
async def test_who_has_not_asked_to_the_end_is_not_answered(
    asked: Callable[[Front], bytes],
) -> None:
    async def talk(conversation: Conversation) -> None:
        await conversation.read_to_end()

    async with (
        scripted_upstream(talk) as upstream,
        running_front(upstream.url, world=admin()) as front,
    ):
        assert await half_close(front, asked(front)) == b""
        await until(lambda: not connections_of(front))
        await until(lambda: not any(front.world.observer.in_flight_now.values()))


@pytest.mark.parametrize("framing", [b"Content-Length: 9", *CHUNKS])
async def test_what_comes_next_belongs_to_the_request_that_a_task_has_just_taken(
    framing: bytes,
) -> None:
    """Aiohttp itself knows of that only a turn of the loop after it was taken from the queue."""
    async with (
        scripted_upstream(answer_by_path) as upstream,
        running_front(upstream.url, world=admin()) as front,
    ):
        _, writer = await asyncio.open_connection(*front.address)
        await until(lambda: connections_of(front))
        connection = connections_of(front)[0]
        await until(lambda: connection._waiter)
        connection.data_received(front.request("POST /admin/1 HTTP/1.1", framing))
        while connection._messages:  # noqa: ASYNC110 - a turn more would be one too many
            await asyncio.sleep(0)

        assert connection.is_within_message
        assert not connection.eof_received()
        writer.close()


@pytest.mark.parametrize("asked", ASKED.values(), ids=ASKED)
async def test_an_answer_that_does_not_begin_soon_is_not_waited_for(
    asked: Callable[[Front], bytes],
) -> None:
    """Whoever ends its side may have gone, and upstream would work for nobody."""

    async def talk(conversation: Conversation) -> None:
        await conversation.read_to_end()

    async with (
        scripted_upstream(talk) as upstream,
        running_front(upstream.url, world=admin()) as front,
    ):
        assert await half_close(front, asked(front)) == b""
        await asyncio.wait_for(upstream.last.ended.wait(), 5)
        await until(lambda: front.world.observer.answers)
        assert front.world.observer.answers[-1][1] == 499


@pytest.mark.parametrize("asked", [b"", b"Content-Length: 3\r\n"], ids=["at once", "by a task"])
async def test_an_answer_in_which_the_client_ends_its_side_does_not_seem_whole(
    asked: bytes,
) -> None:
    """To HTTP/1.0 its end is that of the connection."""

    async def talk(conversation: Conversation) -> None:
        await conversation.say(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"
        )
        await conversation.read_to_end()

    async with (
        scripted_upstream(talk) as upstream,
        running_front(upstream.url, world=admin()) as front,
    ):
        reader, writer = await asyncio.open_connection(*front.address)
        method = "PUT" if asked else "GET"
        request = front.request(f"{method} /admin/1 HTTP/1.0")
        writer.write(request[:-2] + asked + b"\r\n")
        if asked:
            await until(lambda: [each for each in connections_of(front) if each._taken])
            writer.write(b"abc")
        await reader.readuntil(b"half")
        writer.write_eof()
        with pytest.raises(ConnectionError):
            await asyncio.wait_for(reader.read(), 5)
        writer.close()


async def test_a_whole_answer_reaches_who_ends_its_side_before_it_has_read_it() -> None:
    async def talk(conversation: Conversation) -> None:
        await conversation.read(3)
        await conversation.say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while not waiting(connections_of(front)[0]).get_write_buffer_size():
            await conversation.say(b"1000\r\n" + bytes(4096) + b"\r\n")
            await asyncio.sleep(0.001)
        await conversation.say(b"0\r\n\r\n")

    async with (
        scripted_upstream(talk) as upstream,
        running_front(upstream.url, world=admin()) as front,
    ):
        reader, writer = await asyncio.open_connection(*front.address, limit=1024)
        writer.write(front.request("PUT /admin/1 HTTP/1.1", b"Content-Length: 3"))
        await until(lambda: [each for each in connections_of(front) if each._taken])
        writer.write(b"abc")
        transport = waiting(connections_of(front)[0])
        await until(lambda: transport.get_write_buffer_limits() == (0, 0))
        writer.write_eof()
        await until(transport.is_closing)
        response = await asyncio.wait_for(read_all(reader), 10)
        writer.close()

    assert response.endswith(b"\r\n0\r\n\r\n")


def waiting(connection: ClientConnection) -> asyncio.Transport:
    assert connection.transport is not None
    return connection.transport


async def test_who_ended_its_side_and_reads_nothing_is_given_up() -> None:
    text = bytes(10_000_000)

    async def talk(conversation: Conversation) -> None:
        await conversation.say(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(text) + text)

    async with (
        scripted_upstream(talk) as upstream,
        running_front(upstream.url, idle_seconds=0.5) as front,
    ):
        _, writer = await asyncio.open_connection(*front.address, limit=1024)
        writer.write(front.request())
        writer.write_eof()
        await until(lambda: front.world.observer.answers)
        await until(lambda: not connections_of(front))
        writer.close()


# Refused at once, by a task, and by the parser: whichever way, the rest of it is still on its way.
REFUSED = (
    b"POST /reports HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx",
    b"POST /reports HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\nx",
    b"GET /reports HTTP/1.1\r\nHost: a\r\nA: " + b"x" * 20_000,
)


@pytest.mark.parametrize("refused", REFUSED, ids=["at once", "by a task", "unread"])
async def test_who_is_refused_and_still_sends_can_read_why(refused: bytes) -> None:
    """RFC 9112, 9.6: a connection that is closed at once is reset, and the answer lost with it."""
    async with scripted_upstream() as upstream, running_front(upstream.url) as front:
        loop = asyncio.get_running_loop()
        with socket.socket() as client:
            client.setblocking(False)  # noqa: FBT003
            await loop.sock_connect(client, front.address)
            await loop.sock_sendall(client, refused)
            await until(lambda: front.world.observer.answers)
            for _ in range(50):
                await loop.sock_sendall(client, b"x" * 10_000)
                await asyncio.sleep(0)
            response = b""
            while data := await loop.sock_recv(client, 65536):
                response += data

        assert status_of(response) in (400, 401)
        assert response.endswith(b"}")
        await until(lambda: not front.proxy._server.connections)


async def test_a_client_that_does_not_end_its_side_is_not_waited_for_for_long() -> None:
    async with scripted_upstream() as upstream, running_front(upstream.url) as front:
        reader, writer = await asyncio.open_connection(*front.address)
        writer.write(front.request("GET /reports HTTP/1.1", b"Connection: close"))
        assert status_of(await read_all(reader)) == 200
        assert len(front.proxy._server.connections) == 1

        await until(lambda: not front.proxy._server.connections)
        writer.close()


async def test_a_client_that_ends_its_side_after_ours_is_waited_for_no_longer() -> None:
    async with scripted_upstream() as upstream, running_front(upstream.url) as front:
        reader, writer = await asyncio.open_connection(*front.address)
        writer.write(front.request("GET /reports HTTP/1.1", b"Connection: close"))
        assert status_of(await read_all(reader)) == 200
        (connection,) = connections_of(front)
        writer.close()
        await until(lambda: not connections_of(front))

        assert not connection._has_ended


async def test_a_drain_waits_for_no_client_that_has_its_answer() -> None:
    async with scripted_upstream() as upstream, running_front(upstream.url) as front:
        reader, writer = await asyncio.open_connection(*front.address)
        writer.write(front.request("GET /reports HTTP/1.1", b"Connection: close"))
        assert status_of(await read_all(reader)) == 200
        (connection,) = front.proxy._server.connections
        assert isinstance(connection, ClientConnection)
        assert connection.is_idle

        await front.proxy.drain(20)
        assert not front.proxy._server.connections
        writer.close()
