"""Signing in at the gateway: from a file, or by the client-credentials grant."""

from collections.abc import Mapping

import pytest

from sidecar.account_sync import NotFetched, SyncFailure
from sidecar.adapters.bounded_client import BoundedClient
from sidecar.adapters.gateway_credentials import ClientCredentials, api_key_of, bearer_of
from sidecar.demo.identity_provider import Client, IdentityProvider
from tests.fakes.answering import Answering, answering, ok
from tests.fakes.clock import FakeClock

TOKEN = ok(b'{"access_token": "sesame", "token_type": "Bearer", "expires_in": 100}')


class Desk:
    """Asks one endpoint, on a clock that stands still until told."""

    def __init__(self, endpoint: BoundedClient, given: str = "a secret", **more: str) -> None:
        self.clock = FakeClock()
        self.credentials = ClientCredentials(endpoint, "my:client", lambda: given, more, self.clock)

    async def refusal(self) -> NotFetched:
        with pytest.raises(NotFetched) as failed:
            await self.credentials.header()
        assert failed.value.reason is SyncFailure.CREDENTIAL
        assert "sesame" not in failed.value.detail
        return failed.value


async def header_of(server: Answering) -> Mapping[str, str]:
    async with BoundedClient(server.url, 0.5) as endpoint:
        return await Desk(endpoint).credentials.header()


async def test_a_file_is_read_anew_each_time() -> None:
    secrets = ["second\n", "first\r\n"]
    bearer = bearer_of(secrets.pop)

    assert await bearer.header() == {"Authorization": "Bearer first"}
    bearer.forget()
    assert await bearer.header() == {"Authorization": "Bearer second"}
    assert await api_key_of(lambda: "key").header() == {"Api-Key": "key"}


@pytest.mark.parametrize("secret", ["", "a\r\nX-Admin: 1", "a b", "schlüssel", "a\x00"])
async def test_what_cannot_stand_in_a_header_is_no_secret(secret: str) -> None:
    for credential in (bearer_of(lambda: secret), api_key_of(lambda: secret)):
        with pytest.raises(NotFetched) as failed:
            await credential.header()
        assert failed.value.reason is SyncFailure.CREDENTIAL


async def test_a_file_that_went_is_told_without_its_content() -> None:
    def read() -> str:
        raise FileNotFoundError(2, "No such file", "secret-place")

    with pytest.raises(NotFetched) as failed:
        await bearer_of(read).header()
    assert failed.value.detail == "its file cannot be used: FileNotFoundError"


async def test_a_token_is_asked_for_and_kept_for_most_of_its_life() -> None:
    async with answering(TOKEN) as server, BoundedClient(server.url, 0.5) as endpoint:
        desk = Desk(endpoint, scope="read", audience="https://hoop")
        assert await desk.credentials.header() == {"Authorization": "Bearer sesame"}
        desk.clock.advance(79)
        await desk.credentials.header()
        assert len(server.requests) == 1
        # RFC 6749, 2.3.1: form-encoded, then Basic.
        assert "Authorization: Basic bXklM0FjbGllbnQ6YSUyMHNlY3JldA==" in server.requests[0]
        assert server.requests[0].endswith(
            "grant_type=client_credentials&scope=read&audience=https%3A%2F%2Fhoop"
        )

        desk.clock.advance(2)
        await desk.credentials.header()
        assert len(server.requests) == 2


async def test_a_token_that_was_refused_is_not_shown_again() -> None:
    async with answering(TOKEN) as server, BoundedClient(server.url, 0.5) as endpoint:
        desk = Desk(endpoint)
        await desk.credentials.header()
        desk.credentials.forget()
        await desk.credentials.header()

        assert len(server.requests) == 2


@pytest.mark.parametrize("lifetime", [b'"100"', b"true", b"-5", b"null", b"0"])
async def test_a_token_of_unknown_life_is_used_for_a_moment(lifetime: bytes) -> None:
    body = b'{"access_token": "sesame", "token_type": "bearer", "expires_in": ' + lifetime + b"}"
    async with answering(ok(body)) as server, BoundedClient(server.url, 0.5) as endpoint:
        desk = Desk(endpoint)
        await desk.credentials.header()
        desk.clock.advance(1)
        await desk.credentials.header()

        assert len(server.requests) == 2


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n",
        ok(b"<html>"),
        ok(b"[]"),
        ok(b"{}"),
        ok(b'{"access_token": 7, "token_type": "bearer"}'),
        ok(b'{"access_token": "sesame", "token_type": "mac"}'),
        ok(b'{"access_token": "sesame\\r\\nX: y", "token_type": "bearer"}'),
        ok(b" " * 70_000),
    ],
)
async def test_an_endpoint_that_gives_no_token_gives_no_header(answer: bytes) -> None:
    async with answering(answer) as server, BoundedClient(server.url, 0.5) as endpoint:
        await Desk(endpoint).refusal()


async def test_a_real_token_endpoint_gives_a_token() -> None:
    clients = [Client("my:client", "a secret", "admin", ("read",))]
    async with (
        IdentityProvider(clients, audiences=("hoop",)) as provider,
        BoundedClient(provider.token_url, 5.0) as endpoint,
    ):
        header = await Desk(endpoint, audience="hoop").credentials.header()
        assert header["Authorization"].count(".") == 2
        await Desk(endpoint, given="another").refusal()
