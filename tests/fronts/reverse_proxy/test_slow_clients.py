"""Clients that take their time: with their head, their body, or reading."""

import asyncio

import pytest

from sidecar.core.decision import Deny, DenyReason
from sidecar.fronts.admission import Room
from sidecar.fronts.listener import ListenPolicy
from sidecar.fronts.reverse_proxy.pace import BodyRate
from tests.fakes.front import Front, read_all, running_front, status_of
from tests.fakes.tls import tls_ends
from tests.fakes.upstream import Conversation, scripted_upstream
from tests.fakes.waiting import until
from tests.fakes.world import World

HASTY = ListenPolicy("127.0.0.1", 0, idle_timeout=10.0, head_timeout=0.3)
LENGTH = b"Content-Length: 1000"


def admin() -> World:
    world = World()
    world.enroll("robot", "admin")
    return world


async def trickle(writer: asyncio.StreamWriter, octet: bytes = b"a") -> None:
    """Send one octet after the other until the other end has had enough."""
    while not writer.transport.is_closing():
        writer.write(octet)
        await asyncio.sleep(0.02)


async def ended_by_a_trickle(front: Front, begin: bytes, octet: bytes = b"a") -> bytes:
    """Return what a client gets that begins like this and then trickles."""
    reader, writer = await asyncio.open_connection(*front.address)
    writer.write(begin)
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        trickling = tasks.create_task(trickle(writer, octet))
        try:
            return await read_all(reader)
        finally:
            trickling.cancel()
            writer.close()


@pytest.mark.parametrize(
    ("begin", "octet"),
    [
        (b"G", b"E"),
        (b"GET /reports HTTP/1.1\r\nHost: a\r\nX-", b"a"),
        (b"\r\n", b"\r\n"),
        (b"GET /reports HTTP/1.1\r\nHost: a\r\nX: ", b"\t"),
    ],
    ids=["method", "name", "empty lines", "value"],
)
async def test_no_trickle_extends_the_time_of_a_head(begin: bytes, octet: bytes) -> None:
    async with (
        scripted_upstream() as upstream,
        running_front(upstream.url, listen=HASTY) as front,
    ):
        answer = await ended_by_a_trickle(front, begin, octet)

    assert answer == b"" or status_of(answer) in (400, 408)
    assert not upstream.conversations
    (decided,) = [decision for _, decision, _ in front.world.observer.decisions]
    assert isinstance(decided, Deny)
    assert decided.reason in (DenyReason.TOO_SLOW, DenyReason.MALFORMED_REQUEST)


async def test_half_a_head_that_came_together_with_a_request_has_the_time_of_a_head() -> None:
    """Else a client could have its connection held for all of ``idle_timeout``."""
    async with (
        scripted_upstream() as upstream,
        running_front(upstream.url, listen=HASTY) as front,
    ):
        reader, writer = await asyncio.open_connection(*front.address)
        writer.write(front.request() + b"GET /reports HTTP/1.1\r\nHost")
        await reader.readuntil(b"ok")
        late = await asyncio.wait_for(read_all(reader), 5)
        writer.close()

    assert status_of(late) == 408
    assert len(upstream.conversations) == 1


async def test_a_head_that_is_late_is_told_so_on_a_connection_that_was_used_before() -> None:
    async with (
        scripted_upstream() as upstream,
        running_front(upstream.url, listen=HASTY) as front,
    ):
        reader, writer = await asyncio.open_connection(*front.address)
        writer.write(front.request())
        await reader.readuntil(b"ok")
        writer.write(b"GET /reports HTTP/1.1\r\nHost")
        late = await asyncio.wait_for(read_all(reader), 5)
        writer.close()

    assert late.startswith(b"HTTP/1.1 408 Request Timeout\r\n")
    assert b'"error":"request_timeout"' in late
    assert b"Connection: close\r\n" in late


async def test_a_head_in_pieces_that_comes_in_time_is_served() -> None:
    async with (
        scripted_upstream() as upstream,
        running_front(upstream.url, listen=HASTY) as front,
    ):
        reader, writer = await asyncio.open_connection(*front.address)
        for _ in range(4):
            whole = front.request()
            writer.write(whole[:20])
            await asyncio.sleep(0.15)
            writer.write(whole[20:])
            await asyncio.wait_for(reader.readuntil(b"ok"), 5)
        writer.close()

    assert len(upstream.conversations) == 4


async def test_a_half_head_ends_no_answer_that_is_under_way() -> None:
    go_on = asyncio.Event()

    async def talk(conversation: Conversation) -> None:
        await conversation.say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n")
        await go_on.wait()
        await conversation.say(b"1\r\nb\r\n0\r\n\r\n")

    async with (
        scripted_upstream(talk) as upstream,
        running_front(upstream.url, listen=HASTY) as front,
    ):
        reader, writer = await asyncio.open_connection(*front.address)
        writer.write(front.request())
        await reader.readuntil(b"a\r\n")
        writer.write(b"GET /rep")
        await asyncio.sleep(0.8)  # more than two deadlines of a head
        go_on.set()

        assert await asyncio.wait_for(reader.readuntil(b"0\r\n\r\n"), 5) == b"1\r\nb\r\n0\r\n\r\n"
        assert status_of(await asyncio.wait_for(read_all(reader), 5)) == 408
        writer.close()


async def _wait_to_the_end(conversation: Conversation) -> None:
    await conversation.read_to_end()


@pytest.mark.parametrize("framing", [LENGTH, b"Transfer-Encoding: chunked"])
async def test_a_body_that_trickles_in_is_cut_and_upstream_sees_it_break_off(
    framing: bytes,
) -> None:
    rate = BodyRate(octets=1000.0, grace=0.3)
    octet = b"a" if framing is LENGTH else b"1\r\na\r\n"
    async with (
        scripted_upstream(_wait_to_the_end) as upstream,
        running_front(upstream.url, world=admin(), body_rate=rate) as front,
    ):
        begin = front.request("POST /admin/x HTTP/1.1", framing)
        answer = await ended_by_a_trickle(front, begin, octet)
        await asyncio.wait_for(upstream.last.ended.wait(), 5)

    assert status_of(answer) == 408
    assert not upstream.last.received.endswith(b"0\r\n\r\n")
    assert not front.world.observer.upstream_failures


async def test_a_body_that_keeps_the_rate_may_take_its_time() -> None:
    async def talk(conversation: Conversation) -> None:
        await conversation.read(1000)
        await conversation.say(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    rate = BodyRate(octets=100.0, grace=0.3)
    async with (
        scripted_upstream(talk) as upstream,
        running_front(upstream.url, world=admin(), body_rate=rate) as front,
    ):
        reader, writer = await asyncio.open_connection(*front.address)
        writer.write(front.request("POST /admin/x HTTP/1.1", LENGTH))
        for _ in range(10):
            writer.write(b"a" * 100)
            await asyncio.sleep(0.08)
        assert (await asyncio.wait_for(reader.readuntil(b"ok"), 5)).startswith(b"HTTP/1.1 200")
        writer.close()


async def test_a_stream_with_nothing_to_say_waits_for_nobody_to_read() -> None:
    """The limit is on a client that reads nothing, not on an upstream that says nothing."""
    go_on = asyncio.Event()

    async def talk(conversation: Conversation) -> None:
        await conversation.say(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n3\r\n:\n\n\r\n"
        )
        await go_on.wait()
        await conversation.say(b"3\r\n:\n\n\r\n0\r\n\r\n")

    async with (
        scripted_upstream(talk) as upstream,
        running_front(upstream.url, read_rate=BodyRate(grace=0.1)) as front,
    ):
        reader, writer = await asyncio.open_connection(*front.address)
        writer.write(front.request())
        await reader.readuntil(b":\n\n\r\n")
        await asyncio.sleep(0.4)
        go_on.set()

        assert await asyncio.wait_for(reader.readuntil(b"0\r\n\r\n"), 5)
        writer.close()


async def _read_in_sips(reader: asyncio.StreamReader) -> None:
    while await reader.read(2000):  # noqa: ASYNC110 - it is the client that takes its time
        await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("line", "encrypted"),
    [("GET /admin/x HTTP/1.1", False), ("POST /admin/x HTTP/1.1", True)],
    ids=["at once", "by a task, with TLS"],
)
async def test_who_reads_an_answer_in_sips_is_reset_though_something_can_always_be_written(
    line: str, *, encrypted: bool
) -> None:
    async def talk(conversation: Conversation) -> None:
        await conversation.say(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
        while True:
            await conversation.say(bytes(65536))

    ours, theirs = tls_ends() if encrypted else (None, None)
    listen = ListenPolicy("127.0.0.1", 0, tls=ours)
    rate = BodyRate(octets=10_000_000.0, grace=0.3)
    async with (
        scripted_upstream(talk) as upstream,
        running_front(upstream.url, world=admin(), listen=listen, read_rate=rate) as front,
        asyncio.timeout(10),
    ):
        reader, writer = await asyncio.open_connection(*front.address, limit=4096, ssl=theirs)
        body = (b"Transfer-Encoding: chunked",) if line.startswith("POST") else ()
        writer.write(front.request(line, *body, body=b"0\r\n\r\n" if body else b""))
        with pytest.raises(ConnectionResetError):
            await _read_in_sips(reader)
        writer.close()
        await upstream.last.ended.wait()
        await until(lambda: not any(front.world.observer.in_flight_now.values()))

    assert front.world.observer.slow_readers == 1
    assert not front.world.observer.upstream_failures


async def test_whoever_comes_to_a_full_door_is_told_so_and_makes_no_decision() -> None:
    listen = ListenPolicy("127.0.0.1", 0, room=Room(2))
    async with (
        scripted_upstream() as upstream,
        running_front(upstream.url, listen=listen) as front,
    ):
        writers = [(await asyncio.open_connection(*front.address))[1] for _ in range(2)]
        await until(lambda: front.world.observer.connected_now == 2)

        reader, writer = await asyncio.open_connection(*front.address)
        refused = await asyncio.wait_for(read_all(reader), 5)
        writer.close()
        assert refused == b"" or status_of(refused) == 503
        assert not front.world.observer.decisions

        for each in writers:
            each.close()
        await until(lambda: front.world.observer.connected_now == 0)
        assert status_of(await front.ask()) == 200
