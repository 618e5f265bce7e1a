"""A question over HTTP, to a server in every state but well (K5, K6, K7)."""

import asyncio
import gzip
import socket
import ssl
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import pytest
import trustme

from sidecar.adapters.bounded_fetch import FetchFailed
from sidecar.adapters.client_authentication import Proof, Prove, by_basic, by_certificate
from sidecar.adapters.introspection_endpoint import EndpointPolicy, IntrospectionEndpoint
from sidecar.adapters.provider_client import ProviderClient
from sidecar.adapters.provider_keys import Provider
from sidecar.core.bearer import BearerToken
from sidecar.core.introspection import read_answer
from sidecar.core.issuer import Issuer
from sidecar.ports import FetchOutcome
from tests.fakes.answering import answering, ok
from tests.fakes.clock import FakeClock
from tests.fakes.introspection import IntrospectionServer, introspection_server

TOKEN = BearerToken("sesame")
US = by_basic("us", lambda: "our secret")


async def no_metadata(url: str) -> bytes:
    raise FetchFailed(FetchOutcome.UNREACHABLE, url)


async def ask(url: str, prove: Prove = US, **policy: Any) -> bytes:
    found = EndpointPolicy("https://idp.example", url, timeout=0.5, max_bytes=10_000, **policy)
    async with IntrospectionEndpoint(found, prove, no_metadata, FakeClock()) as endpoint:
        return await endpoint.ask(TOKEN)


async def outcome(url: str) -> FetchOutcome:
    with pytest.raises(FetchFailed) as failed:
        await ask(url)
    assert "sesame" not in failed.value.detail
    assert "secret" not in failed.value.detail
    return failed.value.outcome


async def test_the_token_is_posted_as_a_form() -> None:
    """RFC 7662, 2.1; never in the address, which gets logged."""
    async with introspection_server() as server:
        server.active["sesame"] = {"sub": "robot"}
        answer = read_answer(await ask(server.url))

    assert answer == {"active": True, "sub": "robot"}
    assert server.forms == [{"token": "sesame", "token_type_hint": "access_token"}]
    assert server.headers[0]["Authorization"].startswith("Basic ")
    assert server.headers[0]["Accept"] == "application/json"


async def test_a_token_cannot_smuggle_a_parameter() -> None:
    async with introspection_server() as server:
        found = EndpointPolicy(server.issuer, server.url)
        async with IntrospectionEndpoint(found, US, no_metadata, FakeClock()) as endpoint:
            await endpoint.ask(BearerToken("a+b/c=="))

    assert server.forms[0]["token"] == "a+b/c=="


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n", FetchOutcome.STATUS),
        (b"HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n", FetchOutcome.STATUS),
        (b"HTTP/1.1 204 No\r\n\r\n", FetchOutcome.STATUS),
        (ok(b" " * 5_000_000), FetchOutcome.TOO_LARGE),
        (ok(gzip.compress(b" " * 5_000_000), "Content-Encoding: gzip"), FetchOutcome.TOO_LARGE),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{", FetchOutcome.MALFORMED),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{", FetchOutcome.MALFORMED),
        (b"SSH-2.0\r\n\r\n", FetchOutcome.MALFORMED),
        (b"", FetchOutcome.UNREACHABLE),
        (None, FetchOutcome.TIMEOUT),
    ],
)
async def test_each_failure_has_its_name(answer: bytes | None, expected: FetchOutcome) -> None:
    async with answering(answer) as server:
        assert await outcome(server.url) is expected


async def test_a_server_that_trickles_is_down() -> None:
    """K6: each byte comes in time, and the answer never."""
    ended = asyncio.Event()

    async def trickle(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        with suppress(ConnectionError):
            while not writer.is_closing():
                writer.write(b" ")
                await writer.drain()
                await asyncio.sleep(0.01)
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
        ended.set()

    listener = await asyncio.start_server(trickle, "127.0.0.1", 0)
    async with listener:
        port = listener.sockets[0].getsockname()[1]
        assert await outcome(f"http://127.0.0.1:{port}/") is FetchOutcome.TIMEOUT
        await asyncio.wait_for(ended.wait(), 10)


async def test_a_redirect_is_followed_nowhere() -> None:
    """K7: the token and our secret would go along."""
    async with (
        introspection_server() as server,
        answering(
            b"HTTP/1.1 307 Go\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n" % server.url.encode()
        ) as redirecting,
    ):
        assert await outcome(redirecting.url) is FetchOutcome.STATUS

    assert server.forms == []


async def test_nobody_listening_is_unreachable() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        assert await outcome(f"http://127.0.0.1:{free.getsockname()[1]}/") is (
            FetchOutcome.UNREACHABLE
        )


async def test_a_connection_that_was_closed_meanwhile_costs_one_repetition() -> None:
    """Each with a proof of its own: a server may take an assertion once only."""
    proofs: list[int] = []

    async def prove() -> Proof:
        proofs.append(1)
        return Proof(form={"number": str(len(proofs))})

    async with answering(b"") as server:
        with pytest.raises(FetchFailed):
            await ask(server.url, prove)

    assert [request.rpartition("number=")[2] for request in server.requests] == ["1", "2"]


def found_by_metadata(server: IntrospectionServer, **policy: Any) -> IntrospectionEndpoint:
    provider = Provider(Issuer(server.issuer), insecure_http=True)
    client = ProviderClient(0.5, 10_000)

    async def metadata(url: str) -> bytes:
        async with client:
            return await client.fetch(url, provider)

    found = EndpointPolicy(server.issuer, **{"insecure_http": True, **policy})
    return IntrospectionEndpoint(found, US, metadata, FakeClock())


async def test_without_an_address_the_issuers_metadata_have_it() -> None:
    async with introspection_server() as server, found_by_metadata(server) as endpoint:
        server.active["sesame"] = {}
        assert read_answer(await endpoint.ask(TOKEN)) == {"active": True}


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ({"issuer": "https://other"}, FetchOutcome.ISSUER_MISMATCH),
        ({"introspection_endpoint": None}, FetchOutcome.MALFORMED),
        ({"introspection_endpoint": "file:///etc/passwd"}, FetchOutcome.MALFORMED),
    ],
)
async def test_metadata_that_cannot_be_trusted_lead_nowhere(
    metadata: Mapping[str, object], expected: FetchOutcome
) -> None:
    async with introspection_server() as server, found_by_metadata(server) as endpoint:
        server.more_metadata = dict(metadata)
        with pytest.raises(FetchFailed) as failed:
            await endpoint.ask(TOKEN)

    assert failed.value.outcome is expected


async def test_plain_http_out_of_the_metadata_is_refused_unless_it_is_allowed() -> None:
    async with (
        introspection_server() as server,
        found_by_metadata(server, insecure_http=False) as endpoint,
    ):
        with pytest.raises(FetchFailed, match="not https"):
            await endpoint.ask(TOKEN)
    assert server.forms == []


async def test_who_shows_a_certificate_is_sent_where_one_is_asked_for() -> None:
    """RFC 8705, 5."""
    async with (
        introspection_server() as server,
        introspection_server() as mutual,
        found_by_metadata(server, mutual_tls=True) as endpoint,
    ):
        server.more_metadata["mtls_endpoint_aliases"] = {"introspection_endpoint": mutual.url}
        await endpoint.ask(TOKEN)

    assert (len(server.forms), len(mutual.forms)) == (0, 1)


async def test_a_certificate_is_shown_and_the_servers_is_verified() -> None:
    """RFC 8705, 2."""
    authority = trustme.CA()
    serving = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(serving)
    authority.configure_trust(serving)
    serving.verify_mode = ssl.CERT_REQUIRED
    ours = ssl.create_default_context()
    authority.configure_trust(ours)
    without = ssl.create_default_context()
    authority.configure_trust(without)
    authority.issue_cert("us.example", common_name="us").configure_cert(ours)

    async def asked(server: IntrospectionServer, tls: ssl.SSLContext | None) -> bytes:
        found = EndpointPolicy(server.issuer, server.url)
        async with IntrospectionEndpoint(
            found, by_certificate("us"), no_metadata, FakeClock(), tls
        ) as endpoint:
            return await endpoint.ask(TOKEN)

    async with introspection_server(serving) as server:
        assert read_answer(await asked(server, ours)) is None
        for tls in (None, without):
            with pytest.raises(FetchFailed):
                await asked(server, tls)

    assert len(server.forms) == 1
    assert server.forms[0]["client_id"] == "us"
    assert dict(part[0] for part in server.certificates[0]["subject"])["commonName"] == "us"
