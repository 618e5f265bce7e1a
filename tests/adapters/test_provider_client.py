"""Fetching from a provider in every state but well (K5, K6, K7, K11)."""

import asyncio
import gzip
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trustme

from sidecar.adapters.bounded_fetch import FetchFailed
from sidecar.adapters.provider_client import ProviderClient
from sidecar.adapters.provider_keys import Provider
from sidecar.core.issuer import Issuer
from sidecar.demo.identity_provider import IdentityProvider, Outage
from sidecar.ports import FetchOutcome

PLAIN = Provider(Issuer("https://idp.example"), insecure_http=True)


@asynccontextmanager
async def answering(answer: bytes, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """Listen, answer every request with these octets, and yield the port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def fetch(url: str, provider: Provider = PLAIN, tls: ssl.SSLContext | None = None) -> bytes:
    contexts = {} if tls is None else {provider.issuer.name: tls}
    async with ProviderClient(0.5, 10_000, contexts) as client:
        return await client.fetch(url, provider)


async def outcome(
    url: str, provider: Provider = PLAIN, tls: ssl.SSLContext | None = None
) -> FetchOutcome:
    with pytest.raises(FetchFailed) as failed:
        await fetch(url, provider, tls)
    assert failed.value.detail
    return failed.value.outcome


async def test_a_document_is_returned_as_it_is() -> None:
    async with answering(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}") as port:
        assert await fetch(f"http://127.0.0.1:{port}/a%2Fb") == b"{}"


@pytest.mark.parametrize(
    ("outage", "expected"),
    [
        ("status_500", FetchOutcome.STATUS),
        ("reset", FetchOutcome.UNREACHABLE),
        ("truncated", FetchOutcome.MALFORMED),
        ("huge", FetchOutcome.TOO_LARGE),
        ("redirect_loop", FetchOutcome.STATUS),
        ("slow", FetchOutcome.TIMEOUT),
    ],
)
async def test_each_failure_has_its_own_name(outage: Outage, expected: FetchOutcome) -> None:
    async with IdentityProvider() as provider:
        provider.outage = outage

        assert await outcome(provider.jwks_url) is expected


async def test_a_redirect_is_followed_nowhere() -> None:
    """K7: not even to a server that would answer."""
    async with IdentityProvider() as provider:
        answer = b"HTTP/1.1 302 Found\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n"
        async with answering(answer % provider.jwks_url.encode()) as port:
            assert await outcome(f"http://127.0.0.1:{port}/") is FetchOutcome.STATUS

        assert not provider.requests


async def test_a_bomb_is_stopped_at_the_limit() -> None:
    bomb = gzip.compress(b" " * 5_000_000)
    answer = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(bomb)
    async with answering(answer + bomb) as port:
        assert await outcome(f"http://127.0.0.1:{port}/") is FetchOutcome.TOO_LARGE


async def test_nobody_listening_is_unreachable() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

        assert await outcome(f"http://127.0.0.1:{port}/") is FetchOutcome.UNREACHABLE


async def test_what_is_no_http_is_malformed() -> None:
    async with answering(b"SSH-2.0\r\n\r\n") as port:
        assert await outcome(f"http://127.0.0.1:{port}/") is FetchOutcome.MALFORMED


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:9/", "file:///etc/passwd", "ftp://a/", "https", ""]
)
async def test_only_https_is_fetched_from(url: str) -> None:
    provider = Provider(Issuer("https://idp.example"))

    assert await outcome(url, provider) is FetchOutcome.MALFORMED


async def test_tls_is_verified_by_the_authorities_named_for_the_issuer() -> None:
    """K11."""
    authority = trustme.CA()
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(server)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    provider = Provider(Issuer("https://idp.example"))
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
    async with answering(answer, server) as port:
        assert await fetch(f"https://localhost:{port}/", provider, trusting) == b"{}"
        wrong_name = await outcome(f"https://127.0.0.1:{port}/", provider, trusting)
        unknown = await outcome(f"https://localhost:{port}/", provider)

    assert wrong_name is unknown is FetchOutcome.UNREACHABLE
