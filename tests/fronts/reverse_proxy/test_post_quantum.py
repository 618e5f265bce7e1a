"""Tokens with ML-DSA signatures through the proxy: long fields, whole."""

from dataclasses import replace

import pytest

from sidecar.core.decision import Deny, DenyReason
from tests.fakes.front import running_front, status_of
from tests.fakes.tokens import key_set, mldsa_key
from tests.fakes.upstream import scripted_upstream
from tests.fakes.world import ISSUER, ISSUERS, World


def world_with(algorithm: str) -> World:
    world = World(issuers=[replace(ISSUERS[0], algorithms=frozenset({algorithm}))])
    world.keys.publish(ISSUER, key_set([mldsa_key("pq", algorithm)]))
    return world


def request(token: str) -> bytes:
    return (
        f"GET /reports HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
        f"Authorization: Bearer {token}\r\n\r\n"
    ).encode()


@pytest.mark.parametrize("algorithm", ["ML-DSA-44", "ML-DSA-65", "ML-DSA-87"])
async def test_a_token_with_a_long_signature_goes_through_and_on_to_upstream(
    algorithm: str,
) -> None:
    world = world_with(algorithm)
    token = world.sign(key=mldsa_key("pq", algorithm))
    async with scripted_upstream() as upstream, running_front(upstream.url, world=world) as front:
        answer = await front.send(request(token))
        again = await front.send(request(token))

    assert (status_of(answer), status_of(again)) == (200, 200)
    assert upstream.last.values("Authorization") == [f"Bearer {token}"]
    assert upstream.last.values("X-Auth-Subject") == ["robot"]


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda token: token[:-4], DenyReason.BAD_SIGNATURE),
        (lambda token: token[: token.rindex(".") + 1] + "A" * 3224, DenyReason.BAD_SIGNATURE),
        (lambda token: token + "A" * 8192, DenyReason.TOKEN_TOO_LARGE),
    ],
)
async def test_a_forged_or_cut_signature_never_reaches_upstream(
    spoil: object, reason: DenyReason
) -> None:
    assert callable(spoil)
    world = world_with("ML-DSA-44")
    token = spoil(world.sign(key=mldsa_key()))
    async with scripted_upstream() as upstream, running_front(upstream.url, world=world) as front:
        answer = await front.send(request(token))

    assert status_of(answer) == 401
    assert b"invalid_token" in answer
    _, decision, _ = world.observer.decisions[-1]
    assert isinstance(decision, Deny)
    assert decision.reason is reason
    assert not upstream.conversations
