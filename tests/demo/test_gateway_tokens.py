"""The gateway's verification: as lax as the original's, and no laxer."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from joserfc import jwt
from joserfc.jwk import OctKey, RSAKey

from sidecar.demo.gateway_tokens import ProviderUnreachable, Verifier, identity_provider_verifier
from sidecar.demo.identity_provider import Client, IdentityProvider
from tests.fakes.clock import FakeClock

ALICE = "alice-client"


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest_asyncio.fixture
async def provider(clock: FakeClock) -> AsyncIterator[IdentityProvider]:
    clients = [Client(ALICE, "secret", "alice")]
    async with IdentityProvider(clients, algorithm="ES256", clock=clock) as provider:
        yield provider


@pytest.fixture
def verify(provider: IdentityProvider, clock: FakeClock) -> Verifier:
    return identity_provider_verifier(provider.jwks_url, clock)


async def test_a_good_token_names_its_subject(provider: IdentityProvider, verify: Verifier) -> None:
    assert await verify(provider.issue(ALICE)) == "alice"


async def test_rs256_is_verified_too(clock: FakeClock) -> None:
    async with IdentityProvider([Client(ALICE, "secret", "alice")], clock=clock) as provider:
        verify = identity_provider_verifier(provider.jwks_url, clock)

        assert await verify(provider.issue(ALICE)) == "alice"


async def test_issuer_and_audience_are_not_looked_at(
    provider: IdentityProvider, verify: Verifier
) -> None:
    """The hole in the original that the sidecar closes."""
    token = provider.issue(ALICE, iss="https://other.example", aud="somebody-else", exp=None)

    assert await verify(token) == "alice"


async def test_the_dates_are_judged_without_leeway(
    provider: IdentityProvider, verify: Verifier, clock: FakeClock
) -> None:
    token = provider.issue(ALICE, lifetime=10, nbf=int(clock.now()) + 1)

    assert await verify(token) is None
    clock.advance(1)
    assert await verify(token) == "alice"
    clock.advance(9)
    assert await verify(token) is None


@pytest.mark.parametrize(
    "claims", [{"sub": None}, {"sub": ""}, {"sub": 7}, {"exp": "later"}, {"nbf": "now"}]
)
async def test_claims_of_the_wrong_shape_prove_nothing(
    provider: IdentityProvider, verify: Verifier, claims: dict[str, Any]
) -> None:
    assert await verify(provider.issue(ALICE, **claims)) is None


async def test_a_token_of_another_key_under_the_same_kid_proves_nothing(
    provider: IdentityProvider, verify: Verifier
) -> None:
    async with IdentityProvider([Client(ALICE, "s", "alice")], algorithm="ES256") as other:
        head, _, _ = provider.issue(ALICE).split(".")
        _, claims, signature = other.issue(ALICE).split(".")

    assert await verify(f"{head}.{claims}.{signature}") is None


@pytest.mark.parametrize("token", ["", "a", "a.b.c", "..", "ä.b.c"])
async def test_what_is_not_a_token_proves_nothing(verify: Verifier, token: str) -> None:
    assert await verify(token) is None


async def test_header_tricks_prove_nothing(provider: IdentityProvider, verify: Verifier) -> None:
    (kid,) = provider.kids
    rsa = RSAKey.generate_key(2048)
    secret = OctKey.import_key(b"0" * 32)
    claims = {"sub": "alice"}
    tokens = [
        jwt.encode({"alg": "RS256"}, claims, rsa, algorithms=["RS256"]),
        jwt.encode({"alg": "RS256", "kid": kid}, claims, rsa, algorithms=["RS256"]),
        jwt.encode({"alg": "RS256", "kid": "new"}, claims, rsa, algorithms=["RS256"]),
        jwt.encode({"alg": "HS256", "kid": kid}, claims, secret, algorithms=["HS256"]),
    ]

    assert [await verify(token) for token in tokens] == [None] * 4


async def test_a_rotated_key_is_fetched_once_for_all_who_wait(
    provider: IdentityProvider, verify: Verifier
) -> None:
    await verify(provider.issue(ALICE))
    provider.rotate()
    token = provider.issue(ALICE)

    async with asyncio.TaskGroup() as tasks:
        verified = [tasks.create_task(verify(token)) for _ in range(5)]

    assert [task.result() for task in verified] == ["alice"] * 5
    assert provider.requests["jwks"] == 2


async def test_without_any_keys_the_verifier_says_so(
    provider: IdentityProvider, verify: Verifier
) -> None:
    for outage in ("status_500", "html", "reset"):
        provider.outage = outage
        with pytest.raises(ProviderUnreachable):
            await verify(provider.issue(ALICE))


async def test_with_keys_an_outage_changes_nothing(
    provider: IdentityProvider, verify: Verifier
) -> None:
    token = provider.issue(ALICE)
    await verify(token)
    provider.outage = "status_500"
    provider.rotate()

    assert await verify(token) == "alice"
    assert await verify(provider.issue(ALICE)) is None
