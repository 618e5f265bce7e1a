"""Bound tokens, decided whole: what counts is who sends them, and that they are sent once."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from sidecar import authorize
from sidecar.core.confirmation import Binding, BindingRules, Shown
from sidecar.core.decision import Decision, Deny, DenyReason, Grant
from sidecar.core.issuer import Introspected, IntrospectionRules
from sidecar.core.nonces import Nonces
from sidecar.core.request import AccessRequest
from sidecar.core.token_memory import TokenMemory
from sidecar.wanted import Asked
from tests.fakes.proofs import (
    DPOP,
    MTLS,
    RULES,
    UsedMarks,
    bound_issuers,
    bound_world,
    jkt_of,
    proof_of,
)
from tests.fakes.tokens import ec_key
from tests.fakes.world import NOW, World

R = DenyReason
CERTIFICATE = "A4DtL2JmUMhAsvJj5tKyn64SqzmuXbMrJa0n761y5v0"
OTHERS = "bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dgI"


def bound_token(world: World, **members: Any) -> str:
    return world.sign(cnf=members or {"jkt": jkt_of()})


def asking(
    world: World,
    token: str,
    *proofs: str,
    scheme: str = "DPoP",
    certificate: str | None = None,
    method: str = "GET",
) -> AccessRequest:
    asked = world.request(method, authorization=(f"{scheme} {token}",))
    asked.shown = Shown(proofs, certificate)
    return asked


async def decide(world: World, token: str, *proofs: str, **more: Any) -> Decision:
    return await world.authorizer.authorize(asking(world, token, *proofs, **more))


def reason(decision: Decision | None) -> DenyReason | None:
    assert decision is not None
    return decision.reason if isinstance(decision, Deny) else None


async def test_a_bound_token_with_a_proof_is_granted_and_told_to_be_bound() -> None:
    world = bound_world()
    token = bound_token(world)

    decision = await decide(world, token, proof_of(token))

    assert isinstance(decision, Grant)
    assert decision.principal is not None
    assert decision.principal.binding == "dpop"


async def test_a_proof_counts_once() -> None:
    world = bound_world()
    token = bound_token(world)
    proof = proof_of(token)

    assert reason(await decide(world, token, proof)) is None
    assert reason(await decide(world, token, proof)) is R.PROOF_REPLAYED
    assert reason(await decide(world, token, proof_of(token))) is None


async def test_of_many_at_once_with_one_proof_one_is_granted() -> None:
    world = bound_world()
    token = bound_token(world)
    proof = proof_of(token)

    decisions = await asyncio.gather(*(decide(world, token, proof) for _ in range(9)))

    reasons = [reason(each) for each in decisions]
    assert reasons.count(None) == 1
    assert set(reasons) == {None, R.PROOF_REPLAYED}


async def test_a_decision_that_walks_again_does_not_take_its_own_mark_for_a_replay() -> None:
    """Keys and account are waited for, too, and read anew for each decision."""
    world = bound_world()
    world.rules["strict"] = True
    world.settle(bound_issuers(DPOP))
    token = bound_token(world)

    assert reason(await decide(world, token, proof_of(token))) is None


async def test_nothing_is_decided_at_once_and_nothing_is_marked_by_asking_for_that() -> None:
    used = UsedMarks()
    world = bound_world(used=used)
    token = bound_token(world)
    asked = asking(world, token, proof_of(token))

    assert world.authorizer.authorize_now(asked) is None
    assert used.seconds == {}
    assert reason(await world.authorizer.authorize(asked)) is None
    assert list(used.seconds.values()) == [RULES.memory_seconds]


async def test_a_refused_request_does_not_use_its_proof_up() -> None:
    used = UsedMarks()
    world = bound_world(used=used)
    token = bound_token(world)
    world.disable("robot")

    assert reason(await decide(world, token, proof_of(token))) is R.SUBJECT_INACTIVE
    assert used.seconds == {}


async def test_while_nobody_knows_what_was_used_nobody_is_let_in() -> None:
    used = UsedMarks()
    world = bound_world(used=used)
    token = bound_token(world)
    used.is_down = True

    assert reason(await decide(world, token, proof_of(token))) is R.STATUS_UNAVAILABLE


async def test_without_a_proof_a_bound_token_is_of_no_use() -> None:
    world = bound_world()
    token = bound_token(world)
    asked = world.request(authorization=(f"DPoP {token}",))

    assert reason(await decide(world, token)) is R.PROOF_REFUSED
    assert reason(await world.authorizer.authorize(asked)) is R.PROOF_REFUSED


async def test_a_thief_with_another_key_is_refused() -> None:
    world = bound_world()
    token = bound_token(world)

    decision = await decide(world, token, proof_of(token, key=ec_key("thief")))

    assert reason(decision) is R.BINDING_REFUSED


async def test_a_proof_for_another_method_is_refused() -> None:
    world = bound_world()
    token = bound_token(world)

    assert reason(await decide(world, token, proof_of(token, "POST"))) is R.PROOF_REFUSED


async def test_a_bound_token_is_no_plain_bearer() -> None:
    """RFC 9449, 7.2: not even with a good proof beside it."""
    world = bound_world()
    token = bound_token(world)

    for scheme in ("Bearer", "bearer"):
        decision = await decide(world, token, proof_of(token), scheme=scheme)
        assert reason(decision) is R.BINDING_REFUSED


async def test_the_scheme_is_spelled_in_any_case() -> None:
    world = bound_world()
    token = bound_token(world)

    assert reason(await decide(world, token, proof_of(token), scheme="dpop")) is None


async def test_a_token_of_one_scheme_is_remembered_for_neither_of_both() -> None:
    """The signature is remembered by the token; what has to be shown depends on the scheme."""
    world = bound_world()
    token = bound_token(world)

    assert reason(await decide(world, token, proof_of(token))) is None
    assert reason(await decide(world, token, scheme="Bearer")) is R.BINDING_REFUSED
    assert reason(await decide(world, token, proof_of(token))) is None


async def test_a_connection_that_remembers_its_token_still_needs_a_new_proof() -> None:
    world = bound_world()
    token = bound_token(world)
    memory = TokenMemory()

    reasons, once = [], proof_of(token)
    for proof in (once, once, proof_of(token)):
        asked = asking(world, token, proof)
        asked.memory = memory
        reasons.append(reason(await world.authorizer.authorize(asked)))

    assert reasons == [None, R.PROOF_REPLAYED, None]


async def test_an_unbound_token_under_dpop_is_refused_and_as_a_bearer_taken() -> None:
    world = bound_world()
    token = world.sign()

    assert reason(await decide(world, token, proof_of(token))) is R.BINDING_MISSING
    assert reason(world.ask("GET", "/reports", token=token)) is None


async def test_where_a_binding_is_required_a_plain_bearer_is_refused() -> None:
    world = bound_world(BindingRules(dpop=Binding.REQUIRED))

    assert reason(world.ask("GET", "/reports", token=world.sign())) is R.BINDING_MISSING


async def test_where_it_is_off_a_bound_token_is_refused_and_the_scheme_unknown() -> None:
    world = World()
    token = bound_token(world)

    assert reason(world.ask("GET", "/reports", token=token)) is R.BINDING_REFUSED
    assert reason(await decide(world, token, proof_of(token))) is R.NO_CREDENTIALS


async def test_the_settings_can_take_bound_tokens_as_bearers() -> None:
    world = bound_world(BindingRules(as_bearer=True))

    decision = world.ask("GET", "/reports", token=bound_token(world))

    assert isinstance(decision, Grant)
    assert decision.principal is not None
    assert decision.principal.binding == ""


async def test_a_token_bound_to_a_certificate_needs_that_one() -> None:
    world = bound_world(MTLS)
    token = bound_token(world, **{"x5t#S256": CERTIFICATE})

    def shows(certificate: str | None) -> Decision | None:
        asked = asking(world, token, scheme="Bearer", certificate=certificate)
        return world.authorizer.authorize_now(asked)

    assert reason(shows(None)) is R.BINDING_REFUSED
    assert reason(shows(OTHERS)) is R.BINDING_REFUSED
    granted = shows(CERTIFICATE)
    assert isinstance(granted, Grant)
    assert granted.principal is not None
    assert granted.principal.binding == "mtls"


async def test_both_bindings_are_both_checked() -> None:
    world = bound_world(BindingRules(Binding.ALLOWED, Binding.ALLOWED))
    token = bound_token(world, **{"jkt": jkt_of(), "x5t#S256": CERTIFICATE})

    assert reason(await decide(world, token, proof_of(token))) is R.BINDING_REFUSED
    assert reason(await decide(world, token, certificate=CERTIFICATE)) is R.PROOF_REFUSED
    granted = await decide(world, token, proof_of(token), certificate=CERTIFICATE)
    assert isinstance(granted, Grant)
    assert granted.principal is not None
    assert granted.principal.binding == "dpop+mtls"


async def test_an_unknown_member_is_refused_though_the_known_one_is_proven() -> None:
    world = bound_world()
    token = bound_token(world, jkt=jkt_of(), kid="1")

    assert reason(await decide(world, token, proof_of(token))) is R.BINDING_REFUSED


async def test_who_needs_a_nonce_is_told_one_and_comes_in_with_it() -> None:
    world = bound_world(nonces=Nonces(b"a secret of thirty-two characters", 60.0))
    token = bound_token(world)

    refused = await decide(world, token, proof_of(token))
    assert isinstance(refused, Deny)
    assert refused.reason is R.PROOF_WITHOUT_NONCE
    assert refused.offer is not None
    nonce = refused.offer.nonce
    assert nonce
    assert reason(await decide(world, token, proof_of(token, nonce=nonce))) is None
    forged = await decide(world, token, proof_of(token, nonce="A" * 32))
    assert reason(forged) is R.PROOF_WITHOUT_NONCE
    world.clock.advance(130)
    late = await decide(world, token, proof_of(token, nonce=nonce, iat=world.clock.now()))
    assert reason(late) is R.PROOF_WITHOUT_NONCE


async def test_denials_offer_proofs_by_the_scheme_that_was_used() -> None:
    world = bound_world()

    bearer = world.ask("GET", "/reports", token="x")
    assert isinstance(bearer, Deny)
    dpop = await decide(world, "x.y")
    assert isinstance(dpop, Deny)

    assert bearer.offer is not None
    assert dpop.offer is not None
    assert (bearer.offer.was_taken, dpop.offer.was_taken) == (False, True)
    assert bearer.offer.algorithms == "ES256 Ed25519 RS256"
    assert dpop.offer.nonce == ""


async def test_a_token_larger_than_allowed_is_refused_under_either_scheme() -> None:
    world = bound_world()

    assert reason(await decide(world, "x" * 9000)) is R.TOKEN_TOO_LARGE


@pytest.mark.parametrize("authorization", ["DPoP", "DPoP ", "DPoP  x", "DPoP\tx", "DPoP x y"])
async def test_other_spellings_of_the_header_are_refused(authorization: str) -> None:
    world = bound_world()
    asked = world.request(authorization=(authorization,))

    assert reason(await world.authorizer.authorize(asked)) in (
        R.MALFORMED_CREDENTIALS,
        R.NO_CREDENTIALS,
    )


async def test_without_a_store_no_proof_is_taken() -> None:
    """As at the admin API, which is nobody's upstream."""
    world = World(issuers=bound_issuers(DPOP))
    token = bound_token(world)

    assert reason(await decide(world, token, proof_of(token))) is R.BINDING_REFUSED


@pytest.mark.parametrize(
    ("binding", "scheme", "proven", "expected"),
    [
        (DPOP, "DPoP", True, None),
        (DPOP, "DPoP", False, R.PROOF_REFUSED),
        (DPOP, "Bearer", True, R.BINDING_REFUSED),
        (BindingRules(), "Bearer", False, R.BINDING_REFUSED),
    ],
)
async def test_an_opaque_token_is_bound_as_its_issuer_says(
    binding: BindingRules, scheme: str, *, proven: bool, expected: DenyReason | None
) -> None:
    """RFC 9449, 6.2: ``cnf`` is a member of the introspection's answer."""
    issuer = replace(
        next(iter(bound_issuers(binding))), introspection=IntrospectionRules(Introspected.OPAQUE)
    )
    world = bound_world(binding)
    world.settle((issuer,))
    opaque = "2YotnFZFEjr1zCsicMWpAA"
    world.introspector.active[opaque] = {
        "active": True, "sub": "robot", "exp": NOW + 300, "cnf": {"jkt": jkt_of()},
        "aud": next(iter(issuer.audiences)),
    }  # fmt: skip
    memory = TokenMemory()
    for _ in range(2):
        asked = asking(world, opaque, *([proof_of(opaque)] if proven else []), scheme=scheme)
        asked.memory = memory

        assert reason(await world.authorizer.authorize(asked)) is expected


async def test_what_is_shared_by_decisions_that_are_made_at_once_stays_empty() -> None:
    """A proof, or a standing, that one of them left there would count for the next client."""
    world = bound_world()
    token = bound_token(world)
    for asked in (
        asking(world, token, proof_of(token)),
        world.request(token=world.sign()),
        world.request(token=world.sign(sub="stranger")),
    ):
        world.authorizer.authorize_now(asked)
        await world.authorizer.authorize(asked)

    assert Asked(at_once=True) == authorize._AT_ONCE
