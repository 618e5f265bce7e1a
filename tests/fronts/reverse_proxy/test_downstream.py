"""Framing of responses: by length, in chunks, or by the connection's end."""

import asyncio

import pytest

from tests.fakes.front import read_all, running_front, status_of
from tests.fakes.upstream import Conversation, scripted_upstream


async def test_a_body_without_a_length_is_sent_in_chunks() -> None:
    async def talk(conversation: Conversation) -> None:
        await conversation.say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
        await conversation.say(b"2\r\nde\r\n0\r\nTrailer: x\r\n\r\n")

    async with scripted_upstream(talk) as upstream, running_front(upstream.url) as front:
        response = await front.ask()

    head, _, body = response.partition(b"\r\n\r\n")
    assert b"Transfer-Encoding: chunked" in head
    assert body.replace(b"3\r\nabc\r\n2\r\nde\r\n", b"5\r\nabcde\r\n") == b"5\r\nabcde\r\n0\r\n\r\n"


async def test_a_client_of_http_1_0_gets_the_same_body_up_to_the_end() -> None:
    async def talk(conversation: Conversation) -> None:
        await conversation.say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        await conversation.say(b"5\r\nabcde\r\n0\r\n\r\n")

    async with scripted_upstream(talk) as upstream, running_front(upstream.url) as front:
        response = await front.send(front.request("GET /reports HTTP/1.0"))

    head, _, body = response.partition(b"\r\n\r\n")
    assert b"Transfer-Encoding" not in head
    assert b"Connection: close" in head
    assert body == b"abcde"


async def test_a_client_of_http_1_0_may_keep_its_connection() -> None:
    async with scripted_upstream() as upstream, running_front(upstream.url) as front:
        keep = front.request("GET /reports HTTP/1.0", b"Connection: keep-alive")

        response = await front.send(keep + front.request("GET /reports HTTP/1.0"))

    assert response.count(b"HTTP/1.1 200") == 2
    assert response.count(b"Connection: keep-alive") == 1


async def test_a_body_that_ends_with_upstreams_connection_is_framed_for_the_client() -> None:
    async def talk(conversation: Conversation) -> None:
        await conversation.say(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nabc")
        conversation.writer.close()

    async with scripted_upstream(talk) as upstream, running_front(upstream.url) as front:
        response = await front.ask()

    assert response.endswith(b"3\r\nabc\r\n0\r\n\r\n")


@pytest.mark.parametrize(
    ("line", "answer", "expected"),
    [
        ("HEAD /watch HTTP/1.1", b"200 OK\r\nContent-Length: 7", b"Content-Length: 7"),
        ("HEAD /watch HTTP/1.1", b"200 OK", b"200 OK"),
        ("GET /reports HTTP/1.1", b"204 No Content", b"204 No Content"),
        ("GET /reports HTTP/1.1", b"304 Not Modified\r\nETag: x", b"ETag: x"),
        ("GET /reports HTTP/1.1", b"200 OK\r\nContent-Length: 0", b"Content-Length: 0"),
    ],
)
async def test_a_response_without_a_body_has_none(
    line: str, answer: bytes, expected: bytes
) -> None:
    async def talk(conversation: Conversation) -> None:
        await conversation.say(b"HTTP/1.1 " + answer + b"\r\n\r\n")

    line = line.replace("HEAD /watch", "HEAD /people/x")
    async with scripted_upstream(talk) as upstream, running_front(upstream.url) as front:
        response = await front.ask(line)

    head, blank, body = response.partition(b"\r\n\r\n")
    assert expected in head
    assert b"Transfer-Encoding" not in head
    assert (blank, body) == (b"\r\n\r\n", b"")


async def test_a_204_goes_out_without_a_length() -> None:
    async def talk(conversation: Conversation) -> None:
        await conversation.say(b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n")

    async with scripted_upstream(talk) as upstream, running_front(upstream.url) as front:
        assert b"Content-Length" not in await front.ask()


@pytest.mark.parametrize("version", ["1.0", "1.1"])
async def test_a_body_that_breaks_off_never_looks_complete(version: str) -> None:
    """The client sees a reset, also where a body ends with its connection (HTTP/1.0)."""

    async def talk(conversation: Conversation) -> None:
        await conversation.say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
        await seen.wait()
        conversation.abort()

    seen = asyncio.Event()
    async with scripted_upstream(talk) as upstream, running_front(upstream.url) as front:
        reader, writer = await asyncio.open_connection(*front.address)
        writer.write(front.request(f"GET /reports HTTP/{version}"))
        await reader.readuntil(b"abc")
        seen.set()

        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.close()


async def test_a_body_shorter_than_its_length_is_broken_off() -> None:
    async def talk(conversation: Conversation) -> None:
        await conversation.say(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
        conversation.writer.close()

    async with scripted_upstream(talk) as upstream, running_front(upstream.url) as front:
        reader, writer = await asyncio.open_connection(*front.address)
        writer.write(front.request())

        response = await read_all(reader)

        assert len(response.partition(b"\r\n\r\n")[2]) < 10
        writer.close()


async def test_a_slow_reader_slows_upstream_down_and_costs_no_memory() -> None:
    """Back-pressure: what the client does not read is not read from upstream either."""
    sent = 0

    async def talk(conversation: Conversation) -> None:
        nonlocal sent
        await conversation.say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        piece = b"%x\r\n%s\r\n" % (65536, b"x" * 65536)
        for _ in range(2000):
            await conversation.say(piece)
            sent += 65536

    async with (
        scripted_upstream(talk) as upstream,
        running_front(upstream.url, idle_seconds=0.5) as front,
    ):
        reader, writer = await asyncio.open_connection(*front.address, limit=1024)
        writer.write(front.request())
        await reader.readuntil(b"\r\n\r\n")

        # It reads nothing more: after the idle time the connection is broken.
        await asyncio.wait_for(upstream.last.ended.wait(), 10)

        assert sent < 40 * 1024 * 1024
        writer.close()


async def test_control_octets_of_upstream_are_a_bad_gateway() -> None:
    """P21: upstream's parser is lax, and the client is not to inherit what it lets through."""

    async def talk(conversation: Conversation) -> None:
        await conversation.say(b"HTTP/1.1 200 OK\r\nX-Y: a\x01b\r\nContent-Length: 0\r\n\r\n")

    async with scripted_upstream(talk) as upstream, running_front(upstream.url) as front:
        assert status_of(await front.ask()) == 502


async def test_our_own_answer_is_framed_once_after_one_that_could_not_be_sent() -> None:
    async def talk(conversation: Conversation) -> None:
        await conversation.say(b"HTTP/1.1 200 OK\r\nX-Y: a\x01b\r\nConnection: close\r\n\r\nok")
        conversation.writer.close()

    async with scripted_upstream(talk) as upstream, running_front(upstream.url) as front:
        head, _, body = (await front.ask()).partition(b"\r\n\r\n")

    assert b"Content-Length: %d" % len(body) in head
    assert body.startswith(b"{")
