"""The authorization server over the wire."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import (
    ClientError,
    ClientOSError,
    ClientPayloadError,
    ClientSession,
    TooManyRedirects,
    encode_basic_auth,
)
from joserfc import jwt
from joserfc.errors import InvalidKeyIdError
from joserfc.jwk import KeySet

from sidecar.demo.identity_provider import IdentityProvider, Outage
from sidecar.demo.token_request import Client
from tests.fakes.clock import FakeClock

ALICE = Client("alice-client", "alice's secret", "alice", ("read", "write"))
BOB = Client("bob-client", "bob's secret", "bob")
AUDIENCES = ("hoop-gateway", "https://api.example")
# Form-urlencoded before it is put into Basic (RFC 6749, 2.3.1).
ALICES = {"Authorization": encode_basic_auth(ALICE.client_id, "alice%27s+secret")}
GRANT = {"grant_type": "client_credentials"}


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest_asyncio.fixture
async def provider(clock: FakeClock) -> AsyncIterator[IdentityProvider]:
    async with IdentityProvider(
        [ALICE, BOB], algorithm="ES256", audiences=AUDIENCES, clock=clock
    ) as provider:
        yield provider


@pytest_asyncio.fixture
async def session() -> AsyncIterator[ClientSession]:
    async with ClientSession() as session:
        yield session


async def read_claims(session: ClientSession, jwks_url: str, token: str) -> dict[str, Any]:
    async with session.get(jwks_url) as answer:
        keys = KeySet.import_key_set(await answer.json())
    return jwt.decode(token, keys, algorithms=["RS256", "ES256"]).claims


async def test_a_client_gets_a_token_in_the_rfc_9068_profile(
    provider: IdentityProvider, session: ClientSession, clock: FakeClock
) -> None:
    async with session.post(provider.token_url, data=GRANT, headers=ALICES) as answer:
        granted = await answer.json()

    token = granted.pop("access_token")
    assert answer.status == 200
    assert answer.headers["Cache-Control"] == "no-store"
    assert granted == {"token_type": "Bearer", "expires_in": 300, "scope": "read write"}
    claims = await read_claims(session, provider.jwks_url, token)
    assert len(claims.pop("jti")) == 36
    assert claims == {
        "iss": provider.issuer,
        "sub": "alice",
        "aud": "hoop-gateway",
        "exp": int(clock.now()) + 300,
        "iat": int(clock.now()),
        "client_id": "alice-client",
        "scope": "read write",
    }


async def test_a_client_without_scopes_gets_a_token_without_any(
    provider: IdentityProvider, session: ClientSession
) -> None:
    provider.lifetime = 60
    data = GRANT | {"client_id": BOB.client_id, "client_secret": BOB.secret}
    async with session.post(provider.token_url, data=data) as answer:
        granted = await answer.json()

    claims = await read_claims(session, provider.jwks_url, granted["access_token"])
    assert (claims["sub"], claims["exp"] - claims["iat"]) == ("bob", 60)
    assert "scope" not in claims
    assert "scope" not in granted


async def test_a_token_for_several_audiences_lists_them(
    provider: IdentityProvider, session: ClientSession
) -> None:
    data = [*GRANT.items(), *(("resource", audience) for audience in AUDIENCES)]
    async with session.post(provider.token_url, data=data, headers=ALICES) as answer:
        token = (await answer.json())["access_token"]

    claims = await read_claims(session, provider.jwks_url, token)
    assert claims["aud"] == list(AUDIENCES)


async def test_a_refusal_has_rfc_6749s_form(
    provider: IdentityProvider, session: ClientSession
) -> None:
    wrong = {"Authorization": encode_basic_auth(ALICE.client_id, "wrong")}
    async with session.post(provider.token_url, data=GRANT, headers=wrong) as answer:
        assert answer.status == 401
        assert answer.headers["WWW-Authenticate"].startswith("Basic ")
        assert answer.headers["Cache-Control"] == "no-store"
        assert (await answer.json())["error"] == "invalid_client"


async def test_the_token_endpoint_is_for_post_only(
    provider: IdentityProvider, session: ClientSession
) -> None:
    async with session.get(provider.token_url, params=GRANT) as answer:
        assert answer.status == 405


@pytest.mark.parametrize("name", ["openid-configuration", "oauth-authorization-server"])
async def test_discovery_leads_to_the_endpoints(
    provider: IdentityProvider, session: ClientSession, name: str
) -> None:
    async with session.get(f"{provider.issuer}/.well-known/{name}") as answer:
        assert await answer.json() == {
            "issuer": provider.issuer,
            "token_endpoint": provider.token_url,
            "jwks_uri": provider.jwks_url,
            "grant_types_supported": ["client_credentials"],
            "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
            "scopes_supported": ["read", "write"],
            "response_types_supported": [],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256"],
        }


async def test_a_rotated_key_stays_published_until_it_is_retired(
    provider: IdentityProvider, session: ClientSession
) -> None:
    old = provider.issue("alice-client")
    (old_kid,) = provider.kids

    new_kid = provider.rotate()

    assert provider.kids == [old_kid, new_kid]
    await read_claims(session, provider.jwks_url, old)
    await read_claims(session, provider.jwks_url, provider.issue("alice-client"))
    provider.retire(old_kid)
    with pytest.raises(InvalidKeyIdError):
        await read_claims(session, provider.jwks_url, old)


async def test_rs256_is_the_default(session: ClientSession) -> None:
    async with IdentityProvider([ALICE]) as provider, session.get(provider.jwks_url) as answer:
        (key,) = (await answer.json())["keys"]

    assert (key["kty"], key["alg"], key["use"]) == ("RSA", "RS256", "sig")


async def test_a_test_can_issue_any_token(
    provider: IdentityProvider, session: ClientSession, clock: FakeClock
) -> None:
    token = provider.issue("bob-client", lifetime=-1, aud=["elsewhere"], jti=None, groups=["admin"])

    claims = await read_claims(session, provider.jwks_url, token)
    assert claims == {
        "iss": provider.issuer,
        "sub": "bob",
        "aud": ["elsewhere"],
        "exp": int(clock.now()) - 1,
        "iat": int(clock.now()),
        "client_id": "bob-client",
        "groups": ["admin"],
    }


async def test_no_token_is_issued_to_strangers(provider: IdentityProvider) -> None:
    with pytest.raises(KeyError):
        provider.issue("mallory")


def test_a_provider_without_audiences_is_refused() -> None:
    with pytest.raises(ValueError, match="audience"):
        IdentityProvider(audiences=())


async def test_requests_are_counted_by_endpoint(
    provider: IdentityProvider, session: ClientSession
) -> None:
    for path in ("/jwks", "/jwks", "/.well-known/openid-configuration"):
        async with session.get(provider.issuer + path):
            pass
    async with session.post(provider.token_url):
        pass

    assert provider.requests == {"jwks": 2, "discovery": 1, "token": 1}


async def test_it_comes_back_at_the_same_place_with_the_same_keys(session: ClientSession) -> None:
    provider = IdentityProvider([ALICE], algorithm="ES256")
    async with provider:
        token, jwks_url = provider.issue("alice-client"), provider.jwks_url
    with pytest.raises(ClientError):
        await session.get(jwks_url)

    async with provider:
        assert (await read_claims(session, jwks_url, token))["sub"] == "alice"


async def look(session: ClientSession, provider: IdentityProvider) -> tuple[int, str, int]:
    async with session.get(provider.jwks_url) as answer:
        return answer.status, answer.content_type, len(await answer.read())


@pytest.mark.parametrize(
    ("outage", "seen"),
    [
        ("status_500", (500, "application/json", 25)),
        ("html", (200, "text/html", 22)),
        ("empty_keys", (200, "application/json", 12)),
        ("huge", (200, "application/json", 10 * 1024 * 1024)),
    ],
)
async def test_an_outage_can_look_like_an_answer(
    provider: IdentityProvider,
    session: ClientSession,
    outage: Outage,
    seen: tuple[int, str, int],
) -> None:
    provider.outage = outage

    assert await look(session, provider) == seen


@pytest.mark.parametrize(
    ("outage", "problem"),
    [
        ("reset", ClientOSError),
        ("truncated", ClientPayloadError),
        ("redirect_loop", TooManyRedirects),
    ],
)
async def test_an_outage_can_be_no_answer(
    provider: IdentityProvider,
    session: ClientSession,
    outage: Outage,
    problem: type[Exception],
) -> None:
    provider.outage = outage

    with pytest.raises(problem):
        await look(session, provider)

    provider.outage = None
    assert (await look(session, provider))[0] == 200


async def test_a_slow_provider_can_still_be_stopped(session: ClientSession) -> None:
    async with asyncio.TaskGroup() as tasks:
        async with IdentityProvider([ALICE], algorithm="ES256") as provider:
            provider.outage = "slow"
            looking = tasks.create_task(look(session, provider))
            done, _ = await asyncio.wait({looking}, timeout=0.1)
            assert not done
            closing = asyncio.get_running_loop().time()

        assert asyncio.get_running_loop().time() - closing < 1
        assert (await looking)[0] == 200
