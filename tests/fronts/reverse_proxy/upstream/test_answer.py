"""Upstream in every state but well."""

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import trustme

from sidecar.fronts.reverse_proxy.upstream import Upstream, UpstreamFailed, UpstreamPolicy
from sidecar.ports import UpstreamError
from tests.fakes.upstream import OK, Conversation, full_backlog, scripted_upstream
from tests.fakes.waiting import until


async def ask(policy: UpstreamPolicy) -> bytes:
    async with Upstream(policy) as upstream:
        answer = await upstream.ask("GET", "/a%2Fb/../c?x=%41", [(b"Host", b"a")], None)
        try:
            body = answer.at_hand()
            while piece := await answer.more():
                body += piece
            return body
        finally:
            answer.close()


async def failure(policy: UpstreamPolicy) -> UpstreamError:
    with pytest.raises(UpstreamFailed) as failed:
        await ask(policy)
    return failed.value.error


async def test_the_target_is_sent_octet_for_octet_and_nothing_is_added() -> None:
    async with scripted_upstream() as upstream:
        assert await ask(UpstreamPolicy(upstream.url)) == b"ok"

    assert upstream.last.request_line == "GET /a%2Fb/../c?x=%41 HTTP/1.1"
    assert upstream.last.fields == [("Host", "a")]


async def test_a_connection_is_used_again() -> None:
    async with scripted_upstream() as scripted, Upstream(UpstreamPolicy(scripted.url)) as upstream:
        for _ in range(3):
            answer = await upstream.ask("GET", "/", [(b"Host", b"a")], None)
            while await answer.more():
                pass
            answer.close()

        assert (scripted.connections, len(scripted.conversations)) == (1, 3)


async def test_redirects_and_cookies_are_the_clients_affair() -> None:
    async def talk(conversation: Conversation) -> None:
        await conversation.say(
            b"HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\nSet-Cookie: a=1\r\n"
            b"Content-Length: 0\r\n\r\n"
        )

    async with (
        scripted_upstream(talk) as scripted,
        Upstream(UpstreamPolicy(scripted.url)) as upstream,
    ):
        for _ in range(2):
            answer = await upstream.ask("GET", "/", [(b"Host", b"a")], None)
            assert answer.status == 302
            answer.close()

        assert scripted.last.values("Cookie") == []


async def test_a_compressed_body_stays_compressed() -> None:
    async def talk(conversation: Conversation) -> None:
        await conversation.say(
            b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\n"
            b"\x1f\x8b\x08\x00"
        )

    async with scripted_upstream(talk) as upstream:
        assert await ask(UpstreamPolicy(upstream.url)) == b"\x1f\x8b\x08\x00"


async def test_nobody_listening_is_a_failed_connection() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

        assert await failure(UpstreamPolicy(f"http://127.0.0.1:{port}")) is UpstreamError.CONNECT


async def test_a_backlog_that_is_full_is_a_connect_timeout() -> None:
    with full_backlog() as url:
        found = await failure(UpstreamPolicy(url, connect_timeout=0.2))

    assert found is UpstreamError.CONNECT_TIMEOUT


async def test_silence_is_a_first_byte_timeout() -> None:
    async def talk(conversation: Conversation) -> None:
        await conversation.read_to_end()

    async with scripted_upstream(talk) as upstream:
        found = await failure(UpstreamPolicy(upstream.url, first_byte_timeout=0.1))

    assert found is UpstreamError.FIRST_BYTE_TIMEOUT


async def test_the_first_byte_may_take_longer_than_the_next_ones() -> None:
    async def talk(conversation: Conversation) -> None:
        await asyncio.sleep(0.2)
        await conversation.say(OK)

    async with scripted_upstream(talk) as upstream:
        assert await ask(UpstreamPolicy(upstream.url, idle_timeout=0.1)) == b"ok"


async def test_silence_within_a_body_is_an_idle_timeout() -> None:
    async def talk(conversation: Conversation) -> None:
        await conversation.say(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc")
        await conversation.read_to_end()

    async with scripted_upstream(talk) as upstream:
        found = await failure(UpstreamPolicy(upstream.url, idle_timeout=0.1))

    assert found is UpstreamError.IDLE_TIMEOUT


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (b"", UpstreamError.RESET),
        (b"HTTP/1.1 200 OK\r\nContent-Le", UpstreamError.RESET),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", UpstreamError.RESET),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc", UpstreamError.RESET),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", UpstreamError.MALFORMED),
        (b"HTTP/1.1 2000 OK\r\n\r\n", UpstreamError.MALFORMED),
        (b"HTTP/1.1 200 OK\r\nA: " + b"x" * 70000 + b"\r\n\r\n", UpstreamError.MALFORMED),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
         UpstreamError.MALFORMED),
    ],
)  # fmt: skip
async def test_an_answer_that_breaks_off_or_is_no_http_has_its_own_name(
    answer: bytes, expected: UpstreamError
) -> None:
    async def talk(conversation: Conversation) -> None:
        await conversation.say(answer)
        conversation.writer.close()

    async with scripted_upstream(talk) as upstream:
        assert await failure(UpstreamPolicy(upstream.url)) is expected


async def test_an_https_upstream_is_verified_by_its_name() -> None:
    authority = trustme.CA()
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("gateway.example").configure_cert(server)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK)
        writer.close()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=server)
    url = f"https://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    policy = UpstreamPolicy(url, tls=trusting, server_name="gateway.example")
    async with listener:
        assert await ask(policy) == b"ok"
        assert await failure(replace(policy, server_name="other.example")) is UpstreamError.TLS
        assert await failure(replace(policy, tls=None)) is UpstreamError.TLS


async def test_a_body_that_fails_breaks_the_request_off() -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b"part"
        await asyncio.wait_for(begun.wait(), 5)
        raise ValueError

    async def talk(conversation: Conversation) -> None:
        begun.set()
        await conversation.read_to_end()

    begun = asyncio.Event()
    async with (
        scripted_upstream(talk) as scripted,
        Upstream(UpstreamPolicy(scripted.url)) as upstream,
    ):
        with pytest.raises(UpstreamFailed):
            await upstream.ask("POST", "/", [(b"Host", b"a")], body())
        await asyncio.wait_for(scripted.last.ended.wait(), 5)

        assert b"0\r\n\r\n" not in scripted.last.received


async def test_beyond_its_connections_a_request_waits_no_longer_than_for_a_connection() -> None:
    async def talk(conversation: Conversation) -> None:
        await conversation.read_to_end()

    policy = UpstreamPolicy("", connect_timeout=0.2, first_byte_timeout=5, max_connections=1)
    async with (
        scripted_upstream(talk) as scripted,
        Upstream(replace(policy, url=scripted.url)) as upstream,
        asyncio.TaskGroup() as tasks,
    ):
        first = tasks.create_task(upstream.ask("GET", "/", [(b"Host", b"a")], None))
        await until(lambda: scripted.conversations)
        with pytest.raises(UpstreamFailed) as failed:
            await upstream.ask("GET", "/", [(b"Host", b"a")], None)
        first.cancel()

    assert failed.value.error is UpstreamError.CONNECT_TIMEOUT


async def test_a_reset_is_not_the_end_of_a_body_that_ends_with_its_connection() -> None:
    """RFC 9112, 8: aiohttp takes it for one."""

    async def talk(conversation: Conversation) -> None:
        await conversation.say(b"HTTP/1.1 200 OK\r\n\r\npart of it")
        await part.wait()
        conversation.abort()

    part = asyncio.Event()
    async with (
        scripted_upstream(talk) as scripted,
        Upstream(UpstreamPolicy(scripted.url)) as upstream,
    ):
        answer = await upstream.ask("GET", "/", [(b"Host", b"a")], None)
        got = answer.at_hand() or await answer.more()
        assert got == b"part of it"
        _reset_on_abort(scripted.last)
        part.set()
        with pytest.raises(UpstreamFailed) as failed:
            await answer.more()
        answer.close()

    assert failed.value.error is UpstreamError.RESET


def _reset_on_abort(conversation: Conversation) -> None:
    connection = conversation.writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


async def test_an_answer_that_nobody_asked_for_answers_nobody() -> None:
    async def talk(conversation: Conversation) -> None:
        await conversation.say(OK)
        if len(scripted.conversations) == 1:
            await conversation.say(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nPOISON")
            poisoned.set()

    poisoned = asyncio.Event()
    async with (
        scripted_upstream(talk) as scripted,
        Upstream(UpstreamPolicy(scripted.url)) as upstream,
    ):
        for _ in range(3):
            answer = await upstream.ask("GET", "/", [(b"Host", b"a")], None)
            body = answer.at_hand()
            while piece := await answer.more():
                body += piece
            assert body == b"ok"
            answer.close()
            await asyncio.wait_for(poisoned.wait(), 5)
            await asyncio.sleep(0.02)  # its octets are on loopback, and the loop has to turn
