"""WebSocket through the sidecar, with aiohttp's own client and server at the ends, and raw."""

import asyncio
import base64
import hashlib
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web

from sidecar.ports import CutReason, StreamKind
from tests.fakes.front import Front, read_all, running_front, status_of
from tests.fakes.upstream import Conversation, scripted_upstream
from tests.fakes.waiting import until

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


@asynccontextmanager
async def echo_server() -> AsyncIterator[str]:
    async def echo(request: web.BaseRequest) -> web.StreamResponse:
        socket = web.WebSocketResponse(protocols=("chat",), timeout=0.1)
        await socket.prepare(request)
        async for message in socket:
            if message.type is aiohttp.WSMsgType.TEXT:
                await socket.send_str(message.data)
            else:
                await socket.send_bytes(message.data)
        return socket

    server = await asyncio.get_running_loop().create_server(
        web.Server(echo, access_log=None), "127.0.0.1", 0
    )
    host, port = server.sockets[0].getsockname()[:2]
    try:
        yield f"http://{host}:{port}"
    finally:
        server.close()


@asynccontextmanager
async def talking(front: Front) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(
            front.proxy.url + "/watch",
            headers={"Authorization": f"Bearer {front.world.sign()}"},
            protocols=("chat",),
            compress=15,
        ) as socket,
    ):
        yield socket


async def test_messages_pass_both_ways_with_their_protocol_and_compression() -> None:
    big = os.urandom(300_000)
    async with echo_server() as url, running_front(url) as front, talking(front) as socket:
        assert socket.protocol == "chat"
        assert socket.compress
        await socket.send_str("hello")
        await socket.send_bytes(big)
        await socket.ping(b"x")

        assert (await socket.receive_str()) == "hello"
        assert (await socket.receive_bytes()) == big
        assert front.world.observer.in_flight_now[StreamKind.WEBSOCKET] == 1
        await socket.close()
        assert socket.close_code == 1000
        await until(lambda: front.world.observer.in_flight_now[StreamKind.WEBSOCKET] == 0)


@pytest.mark.parametrize("reason", list(CutReason), ids=lambda reason: reason.value)
async def test_a_cut_closes_with_1008_and_a_reason(reason: CutReason) -> None:
    async with echo_server() as url, running_front(url) as front, talking(front) as socket:
        await socket.send_str("hello")
        await socket.receive_str()

        assert front.cut(reason) == 1

        message = await asyncio.wait_for(socket.receive(), 5)
        assert message.type is aiohttp.WSMsgType.CLOSE
        assert message.data == 1008
        assert message.extra
        await until(lambda: front.world.observer.in_flight_now[StreamKind.WEBSOCKET] == 0)


async def test_the_end_of_a_drain_closes_with_1001_so_that_clients_come_back() -> None:
    """D1; RFC 6455, 7.4.1: "such as a server going down"."""
    async with echo_server() as url, running_front(url) as front, talking(front) as socket:
        await socket.send_str("hello")
        await socket.receive_str()

        async with asyncio.TaskGroup() as tasks:
            draining = tasks.create_task(front.proxy.drain(0.01))
            message = await asyncio.wait_for(socket.receive(), 5)
            assert message.type is aiohttp.WSMsgType.CLOSE
            assert message.data == 1001
            await socket.close()
            await asyncio.wait_for(draining, 5)
        assert front.world.observer.in_flight_now[StreamKind.WEBSOCKET] == 0


async def test_the_end_of_a_drain_does_not_wait_for_a_client_that_does_not_close() -> None:
    async with echo_server() as url, running_front(url) as front, talking(front) as socket:
        await socket.send_str("hello")

        await asyncio.wait_for(front.proxy.drain(0.01), 5)

        assert front.world.observer.in_flight_now[StreamKind.WEBSOCKET] == 0


KEY = base64.b64encode(b"sixteen octets!!")
HANDSHAKE = (
    b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Version: 13",
    b"Sec-WebSocket-Key: " + KEY,
)  # fmt: skip
SWITCHED = (
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"X-Extra: kept\r\nSec-WebSocket-Accept: "
    + base64.b64encode(hashlib.sha1(KEY + _GUID, usedforsecurity=False).digest())
    + b"\r\n\r\n"
)


async def test_octets_after_the_handshake_wait_for_upstreams_101() -> None:
    """P13, CVE-2025-64763: nothing of the new protocol reaches upstream before it agreed."""

    async def talk(conversation: Conversation) -> None:
        assert not conversation.reader._buffer  # type: ignore[attr-defined]
        await conversation.say(SWITCHED + b"\x81\x02hi")
        await conversation.read(len(early))
        await conversation.say(b"\x88\x00")
        await conversation.read_to_end()

    early = b"\x81\x82maskAA"
    async with scripted_upstream(talk) as upstream, running_front(upstream.url) as front:
        reader, writer = await asyncio.open_connection(*front.address)
        writer.write(front.request("GET /watch HTTP/1.1", *HANDSHAKE) + early)
        head = await reader.readuntil(b"\r\n\r\n")
        assert status_of(head) == 101
        assert b"X-Extra: kept" in head
        assert await reader.readexactly(6) == b"\x81\x02hi\x88\x00"
        writer.close()
        await asyncio.wait_for(upstream.last.ended.wait(), 5)

    assert bytes(upstream.last.received).startswith(early)
    assert upstream.last.values("Upgrade") == ["websocket"]
    assert upstream.last.values("Sec-WebSocket-Key") == [KEY.decode()]


async def test_upstreams_refusal_is_relayed_with_its_body() -> None:
    async def talk(conversation: Conversation) -> None:
        await conversation.say(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 3\r\n\r\nno!")

    async with scripted_upstream(talk) as upstream, running_front(upstream.url) as front:
        reader, writer = await asyncio.open_connection(*front.address)
        smuggled = front.request("GET /reports HTTP/1.1")
        writer.write(front.request("GET /watch HTTP/1.1", *HANDSHAKE) + smuggled)

        response = await read_all(reader)
        writer.close()

    assert status_of(response) == 403
    assert response.endswith(b"no!")
    assert response.count(b"HTTP/1.1") == 1
    assert len(upstream.conversations) == 1


async def test_a_101_that_answers_no_handshake_of_ours_is_a_bad_gateway() -> None:
    async def talk(conversation: Conversation) -> None:
        await conversation.say(SWITCHED.replace(b"Accept: ", b"Accept: x") + b"\x81\x02hi")

    async with scripted_upstream(talk) as upstream, running_front(upstream.url) as front:
        response = await front.send(front.request("GET /watch HTTP/1.1", *HANDSHAKE))

    assert status_of(response) == 502
    assert b"hi" not in response.partition(b"\r\n\r\n")[2]


@pytest.mark.parametrize(
    ("line", "fields"),
    [
        ("POST /watch HTTP/1.1", HANDSHAKE),
        ("GET /watch HTTP/1.1", HANDSHAKE[:3]),
        ("GET /watch HTTP/1.1", (*HANDSHAKE, b"Content-Length: 4")),
    ],
)
async def test_what_is_no_good_handshake_is_refused(line: str, fields: tuple[bytes, ...]) -> None:
    async with scripted_upstream() as upstream, running_front(upstream.url) as front:
        response = await front.send(front.request(line, *fields, body=b"body"))

        assert status_of(response) in (400, 403)
        assert not upstream.conversations


@pytest.mark.parametrize("why", ["no token", "a bad one", "an expired one", "a disabled account"])
async def test_who_is_not_granted_sends_no_handshake_and_no_frame(why: str) -> None:
    """P13, bar 24: the decision comes before the 101, and what was sent with it goes nowhere."""
    frame = b"\x81\x82maskAA"
    async with scripted_upstream() as upstream, running_front(upstream.url) as front:
        bearer = {
            "no token": b"X-No: token",
            "a bad one": front.bearer() + b"x",
            "an expired one": front.bearer(exp=1),
        }.get(why, front.bearer())
        if why == "a disabled account":
            front.world.disable("robot")
        head = [b"GET /watch HTTP/1.1", b"Host: a", bearer, *HANDSHAKE, b"", frame]

        response = await front.send(b"\r\n".join(head))

        assert status_of(response) == 401
        assert b"\r\nConnection: close\r\n" in response
        assert upstream.connections == 0


async def test_a_route_without_websocket_forwards_no_upgrade() -> None:
    async with scripted_upstream() as upstream, running_front(upstream.url) as front:
        response = await front.send(
            front.request("GET /reports HTTP/1.1", *HANDSHAKE, b"Connection: close")
        )

        assert status_of(response) == 200
        assert upstream.last.values("Upgrade") == []
        assert upstream.last.values("Connection") == []


async def switched(front: Front) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection(*front.address, limit=1024)
    writer.write(front.request("GET /watch HTTP/1.1", *HANDSHAKE))
    await reader.readuntil(b"\r\n\r\n")
    return reader, writer


async def test_a_cut_within_a_frame_breaks_the_connection() -> None:
    """A close frame inside another frame would be read as that frame's payload."""

    async def talk(conversation: Conversation) -> None:
        await conversation.say(SWITCHED + b"\x81\x05ha")
        await conversation.read_to_end()

    async with scripted_upstream(talk) as upstream, running_front(upstream.url) as front:
        reader, writer = await switched(front)
        await reader.readexactly(4)

        front.cut()

        assert await read_all(reader) == b""
        await asyncio.wait_for(upstream.last.ended.wait(), 5)
        writer.close()


async def test_a_client_that_ignores_its_close_frame_is_gone_after_a_second() -> None:
    async def talk(conversation: Conversation) -> None:
        await conversation.say(SWITCHED)
        await conversation.read_to_end()

    async with scripted_upstream(talk) as upstream, running_front(upstream.url) as front:
        reader, writer = await switched(front)
        front.cut()
        assert (await reader.readexactly(4))[2:] == b"\x03\xf0"
        await asyncio.wait_for(read_all(reader), 5)
        writer.close()


async def test_a_cut_after_upstreams_own_close_adds_no_second_one() -> None:
    async def talk(conversation: Conversation) -> None:
        await conversation.say(SWITCHED + b"\x88\x00")
        await conversation.read_to_end()

    async with scripted_upstream(talk) as upstream, running_front(upstream.url) as front:
        reader, writer = await switched(front)
        await reader.readexactly(2)
        front.cut()
        writer.write(b"\x88\x80mask")

        assert await asyncio.wait_for(read_all(reader), 5) == b""
        writer.close()


async def test_a_client_that_does_not_read_slows_upstream_down() -> None:
    sent = 0

    async def talk(conversation: Conversation) -> None:
        nonlocal sent
        await conversation.say(SWITCHED)
        while True:
            await conversation.say(b"\x82\x7f" + (65536).to_bytes(8, "big") + b"x" * 65536)
            sent += 65536

    async with scripted_upstream(talk) as upstream, running_front(upstream.url) as front:
        _, writer = await switched(front)
        before = -1
        while before != sent:
            before = sent
            await asyncio.sleep(0.2)  # nothing moves any more: every buffer on the way is full

        assert sent < 40 * 1024 * 1024
        front.cut()
        await asyncio.wait_for(upstream.last.ended.wait(), 5)
        writer.close()


async def test_a_handshake_without_the_connection_option_is_an_ordinary_request() -> None:
    """RFC 9110, 7.8: who reads it so must not have a tunnel put through it."""
    async with scripted_upstream() as upstream, running_front(upstream.url) as front:
        for line, fields in (
            ("GET /watch HTTP/1.1", HANDSHAKE[1:]),
            ("GET /watch HTTP/1.0", HANDSHAKE),
        ):
            response = await front.send(front.request(line, *fields, b"Connection: close"))

            assert status_of(response) == 200
            assert upstream.last.values("Upgrade") == []


async def test_a_101_that_does_not_switch_is_a_bad_gateway_and_its_connection_is_not_reused() -> (
    None
):
    async def talk(conversation: Conversation) -> None:
        if conversation.values("Upgrade"):
            await conversation.say(SWITCHED.replace(b"Connection: Upgrade\r\n", b""))
        else:
            await conversation.say(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    async with scripted_upstream(talk) as upstream, running_front(upstream.url) as front:
        response = await front.send(front.request("GET /watch HTTP/1.1", *HANDSHAKE))
        assert status_of(response) == 502
        assert status_of(await front.ask()) == 200

        assert upstream.connections == 2


async def test_a_client_that_takes_nothing_does_not_hold_its_tunnel_for_ever() -> None:
    async def talk(conversation: Conversation) -> None:
        await conversation.say(SWITCHED)
        for _ in range(500):
            await conversation.say(b"\x82\x7f" + (65536).to_bytes(8, "big") + b"x" * 65536)

    async with (
        scripted_upstream(talk) as upstream,
        running_front(upstream.url, idle_seconds=0.2) as front,
    ):
        _, writer = await switched(front)

        await until(lambda: front.world.observer.in_flight_now[StreamKind.WEBSOCKET] == 0)
        writer.close()
