"""A granted request on its way, and cuts at every stage of it."""

import asyncio

import pytest

from sidecar.fronts.reverse_proxy.upstream import UpstreamPolicy
from sidecar.ports import Change, CutReason, StreamKind, UpstreamError
from tests.fakes.front import Front, read_all, running_front, status_of
from tests.fakes.upstream import OK, Conversation, scripted_upstream
from tests.fakes.waiting import until
from tests.fakes.world import World


def admin() -> World:
    world = World()
    world.enroll("robot", "admin")
    return world


async def test_an_upload_streams_through_as_it_comes() -> None:
    got: list[bytes] = []

    async def talk(conversation: Conversation) -> None:
        got.append(await conversation.read(5))
        arrived.set()
        got.append(await conversation.read(5))
        await conversation.say(OK)

    arrived = asyncio.Event()
    async with (
        scripted_upstream(talk) as upstream,
        running_front(upstream.url, world=admin()) as front,
    ):
        reader, writer = await asyncio.open_connection(*front.address)
        writer.write(front.request("POST /admin/x HTTP/1.1", b"Content-Length: 10", body=b"first"))
        await asyncio.wait_for(arrived.wait(), 5)
        assert front.world.observer.in_flight_now[StreamKind.HTTP] == 1
        writer.write(b"later")
        response = await reader.readuntil(b"ok")
        writer.close()

    assert status_of(response) == 200
    assert got == [b"first", b"later"]
    assert upstream.last.values("Content-Length") == ["10"]
    assert upstream.last.values("Transfer-Encoding") == []


async def test_a_chunked_upload_is_chunked_for_upstream_too() -> None:
    async def talk(conversation: Conversation) -> None:
        conversation.received += await conversation.reader.readuntil(b"0\r\n\r\n")
        await conversation.say(OK)

    async with (
        scripted_upstream(talk) as upstream,
        running_front(upstream.url, world=admin()) as front,
    ):
        response = await front.ask(
            "POST /admin/x HTTP/1.1", b"Transfer-Encoding: chunked",
            body=b"5;ext=1\r\nhello\r\n0\r\nX-Auth-Subject: root\r\n\r\n",
        )  # fmt: skip

    assert status_of(response) == 200
    assert bytes(upstream.last.received) == b"5\r\nhello\r\n0\r\n\r\n"
    assert upstream.last.values("Transfer-Encoding") == ["chunked"]


async def test_a_client_that_waits_for_leave_gets_it_once_granted() -> None:
    async def talk(conversation: Conversation) -> None:
        await conversation.read(5)
        await conversation.say(OK)

    async with (
        scripted_upstream(talk) as upstream,
        running_front(upstream.url, world=admin()) as front,
    ):
        reader, writer = await asyncio.open_connection(*front.address)
        fields = (b"Content-Length: 5", b"Expect: 100-continue")
        writer.write(front.request("PUT /admin/x HTTP/1.1", *fields))
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"hello")
        assert status_of(await reader.readuntil(b"ok")) == 200
        writer.close()

        refused = await front.send(
            b"PUT /admin/x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"
        )
    assert status_of(refused) == 401
    assert upstream.last.values("Expect") == []


async def test_upstream_hears_of_an_upload_before_its_body_comes() -> None:
    """A client may wait for the answer's head before it sends anything."""
    async with scripted_upstream() as upstream, running_front(upstream.url, world=admin()) as front:
        reader, writer = await asyncio.open_connection(*front.address)
        writer.write(front.request("POST /admin/x HTTP/1.1", b"Transfer-Encoding: chunked"))

        assert status_of(await asyncio.wait_for(reader.readuntil(b"ok"), 5)) == 200
        writer.close()


async def test_a_client_that_leaves_in_mid_upload_leaves_upstream_a_broken_body() -> None:
    async def talk(conversation: Conversation) -> None:
        started.set()
        await conversation.read_to_end()

    started = asyncio.Event()
    async with (
        scripted_upstream(talk) as upstream,
        running_front(upstream.url, world=admin()) as front,
    ):
        _, writer = await asyncio.open_connection(*front.address)
        chunked = b"Transfer-Encoding: chunked"
        writer.write(front.request("POST /admin/x HTTP/1.1", chunked, body=b"5\r\nhello\r\n"))
        await asyncio.wait_for(started.wait(), 5)
        writer.close()
        await asyncio.wait_for(upstream.last.ended.wait(), 5)

        assert b"0\r\n\r\n" not in upstream.last.received
        await until(lambda: front.world.observer.answers)
        assert front.world.observer.answers[-1][1] == 499


async def test_a_body_with_broken_chunks_is_the_clients_fault() -> None:
    async def talk(conversation: Conversation) -> None:
        await conversation.read_to_end()

    async with (
        scripted_upstream(talk) as upstream,
        running_front(upstream.url, world=admin()) as front,
    ):
        response = await front.ask(
            "POST /admin/x HTTP/1.1", b"Transfer-Encoding: chunked", body=b"5\r\nhello\r\nZZ\r\n"
        )

        assert status_of(response) == 400
        assert not [each for each in upstream.conversations if b"0\r\n\r\n" in each.received]
        assert not front.world.observer.upstream_failures


async def test_an_upload_that_stalls_is_broken_off() -> None:
    async def talk(conversation: Conversation) -> None:
        await conversation.read_to_end()

    async with (
        scripted_upstream(talk) as upstream,
        running_front(upstream.url, world=admin(), idle_seconds=0.1) as front,
    ):
        response = await front.ask("POST /admin/x HTTP/1.1", b"Content-Length: 10", body=b"part")

        assert status_of(response) == 408
        await asyncio.wait_for(upstream.last.ended.wait(), 5)


async def test_an_early_answer_reaches_the_client_and_ends_the_upload() -> None:
    """P5: upstream refuses before it has read the body."""

    async def talk(conversation: Conversation) -> None:
        await conversation.say(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
        await conversation.read_to_end()

    async with (
        scripted_upstream(talk) as upstream,
        running_front(upstream.url, world=admin()) as front,
    ):
        response = await front.send(
            front.request("POST /admin/x HTTP/1.1", b"Content-Length: 1000000", body=b"part")
        )

        assert status_of(response) == 413
        assert b"Connection: close" in response
        await asyncio.wait_for(upstream.last.ended.wait(), 5)


async def test_an_unasked_101_opens_no_tunnel() -> None:
    async def talk(conversation: Conversation) -> None:
        await conversation.say(
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\nsecret"
        )

    async with scripted_upstream(talk) as upstream, running_front(upstream.url) as front:
        response = await front.ask("GET /reports HTTP/1.1", b"Upgrade: h2c")

        assert status_of(response) == 502
        assert b"secret" not in response
        assert upstream.last.values("Upgrade") == []


async def test_informational_responses_are_not_the_answer() -> None:
    async def talk(conversation: Conversation) -> None:
        await conversation.say(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + OK)

    async with scripted_upstream(talk) as upstream, running_front(upstream.url) as front:
        assert status_of(await front.ask()) == 200


async def stream_open(front: Front) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection(*front.address)
    writer.write(front.request())
    await reader.readuntil(b"begun")
    return reader, writer


async def endless(conversation: Conversation) -> None:
    await conversation.say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nbegun\r\n")
    await conversation.read_to_end()


async def test_a_cut_breaks_what_has_begun_on_both_sides() -> None:
    async with scripted_upstream(endless) as upstream, running_front(upstream.url) as front:
        reader, writer = await stream_open(front)

        assert front.cut() == 1

        with pytest.raises(ConnectionResetError):
            await reader.read()
        await asyncio.wait_for(upstream.last.ended.wait(), 5)
        await until(lambda: front.world.observer.in_flight_now[StreamKind.HTTP] == 0)
        writer.close()


@pytest.mark.parametrize(
    ("content_type", "is_endless"), [(b"text/event-stream", True), (b"text/plain", False)]
)
async def test_the_guard_is_told_which_streams_have_no_end(
    content_type: bytes, *, is_endless: bool
) -> None:
    async def talk(conversation: Conversation) -> None:
        await conversation.say(
            b"HTTP/1.1 200 OK\r\nContent-Type: " + content_type + b"\r\n\r\nbegun"
        )
        await conversation.read_to_end()

    async with scripted_upstream(talk) as upstream, running_front(upstream.url) as front:
        reader, writer = await stream_open(front)
        (stream,) = front.streams.of(Change())
        assert stream.is_endless is is_endless
        front.cut()
        await read_all(reader)
        writer.close()


@pytest.mark.parametrize(
    ("reason", "status"),
    [
        (CutReason.REVOKED, 401),
        (CutReason.EXPIRED, 401),
        (CutReason.STATUS_UNAVAILABLE, 503),
    ],
)
async def test_a_cut_before_the_answer_is_an_answer(reason: CutReason, status: int) -> None:
    async def talk(conversation: Conversation) -> None:
        asked.set()
        await conversation.read_to_end()

    asked = asyncio.Event()
    async with scripted_upstream(talk) as upstream, running_front(upstream.url) as front:
        reader, writer = await asyncio.open_connection(*front.address)
        writer.write(front.request())
        await asyncio.wait_for(asked.wait(), 5)

        front.cut(reason)

        response = await read_all(reader)
        assert status_of(response) == status
        assert (b"Retry-After: 1" in response) is (status == 503)
        await asyncio.wait_for(upstream.last.ended.wait(), 5)
        writer.close()


async def test_a_client_that_leaves_ends_upstreams_work() -> None:
    async with scripted_upstream(endless) as upstream, running_front(upstream.url) as front:
        _, writer = await stream_open(front)

        writer.close()

        await asyncio.wait_for(upstream.last.ended.wait(), 5)
        await until(lambda: front.world.observer.in_flight_now[StreamKind.HTTP] == 0)


async def test_a_failing_upstream_is_told_and_counted() -> None:
    async def talk(conversation: Conversation) -> None:
        conversation.abort()

    async with scripted_upstream(talk) as upstream, running_front(upstream.url) as front:
        response = await front.ask("POST /people/x HTTP/1.1", b"Content-Length: 0")

        assert status_of(response) == 502
        assert [each[1] for each in front.world.observer.upstream_failures] == [UpstreamError.RESET]


async def test_a_body_that_falls_silent_is_broken_off() -> None:
    policy = UpstreamPolicy("", idle_timeout=0.1)
    async with (
        scripted_upstream(endless) as upstream,
        running_front(upstream.url, policy=policy) as front,
    ):
        reader, writer = await stream_open(front)

        with pytest.raises(ConnectionResetError):
            await reader.read()
        assert front.world.observer.upstream_failures[-1][1] is UpstreamError.IDLE_TIMEOUT
        writer.close()


async def test_octets_beyond_ascii_are_forwarded_as_they_came() -> None:
    """CVE-2023-27488: they are nothing to fail by, and no reason to grant anything either."""
    async with scripted_upstream() as upstream, running_front(upstream.url) as front:
        assert status_of(await front.ask("GET /reports HTTP/1.1", b"X-Y: \xff\xfe")) == 200

        assert b"\r\nX-Y: \xff\xfe" in upstream.last.head


async def test_an_upstream_that_stops_reading_an_upload_is_given_up() -> None:
    async def talk(_: Conversation) -> None:
        await given_up.wait()

    given_up = asyncio.Event()
    async with (
        scripted_upstream(talk) as upstream,
        running_front(upstream.url, world=admin(), idle_seconds=0.3) as front,
    ):
        reader, writer = await asyncio.open_connection(*front.address)
        writer.write(front.request("POST /admin/x HTTP/1.1", b"Content-Length: 1000000000"))
        async with asyncio.TaskGroup() as tasks:
            flood = tasks.create_task(_send_for_ever(writer, bytes(65536)))
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
            flood.cancel()
        given_up.set()
        writer.close()

        assert status_of(head) == 504
        assert front.world.observer.upstream_failures[-1][1] is UpstreamError.IDLE_TIMEOUT


async def _send_for_ever(writer: asyncio.StreamWriter, octets: bytes) -> None:
    while True:
        writer.write(octets)
        await writer.drain()


async def test_a_client_that_leaves_after_its_answer_began_is_no_failure_of_upstream() -> None:
    async def talk(conversation: Conversation) -> None:
        await conversation.say(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nbegun\r\n"
        )
        while True:
            await conversation.say(b"5\r\nabcde\r\n")
            await asyncio.sleep(0)

    async with scripted_upstream(talk) as upstream, running_front(upstream.url) as front:
        _, writer = await stream_open(front)
        writer.transport.abort()
        await asyncio.wait_for(upstream.last.ended.wait(), 5)

        assert not front.world.observer.upstream_failures


async def test_a_defect_while_forwarding_is_a_500_and_ends_the_connection(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Broken:
        def carry(self, *_: object) -> None:
            raise RuntimeError("a bug")

    async with scripted_upstream() as upstream, running_front(upstream.url) as front:
        object.__setattr__(front.parts, "upstream", Broken())
        response = await front.send(front.request())

    assert status_of(response) == 500
    assert b"a bug" not in response
    assert "could not be carried out" in caplog.text
    assert not any(front.world.observer.in_flight_now.values())


async def test_a_length_that_no_reader_can_hold_smuggles_nothing() -> None:
    """The parser takes 2^64-1 for no length at all, and upstream would wait for a body."""
    async with scripted_upstream() as upstream, running_front(upstream.url) as front:
        for line in ("GET /health HTTP/1.1", "GET /reports HTTP/1.1"):
            response = await front.send(
                front.request(line, b"Content-Length: 18446744073709551615")
            )
            assert status_of(response) == 400
            assert b"Connection: close" in response

        assert not upstream.conversations


async def test_a_length_of_nothing_goes_on() -> None:
    async with scripted_upstream() as upstream, running_front(upstream.url, world=admin()) as front:
        assert status_of(await front.ask("POST /admin/x HTTP/1.1", b"Content-Length: 0")) == 200

        assert upstream.last.values("Content-Length") == ["0"]


async def test_a_client_that_sends_and_never_reads_is_not_remembered_for_ever() -> None:
    """Each refusal waits until the client has taken it."""
    async with (
        scripted_upstream() as upstream,
        running_front(upstream.url, idle_seconds=0.3) as front,
    ):
        _, writer = await asyncio.open_connection(*front.address)
        bad = b"GET /reports HTTP/1.1\r\nHost: a\r\n\r\n"
        with pytest.raises(ConnectionError):
            await asyncio.wait_for(_send_for_ever(writer, bad * 100), 20)
        writer.close()

        decisions = len(front.world.observer.decisions)
        assert decisions < 200_000
