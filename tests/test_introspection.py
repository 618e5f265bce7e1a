"""Opaque tokens in THE decision: the issuer's word for a signature, and the same rules after it."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from sidecar.core.bearer import BearerToken
from sidecar.core.confirmation import Binding, BindingRules, Shown
from sidecar.core.decision import Decision, Deny, DenyReason, Grant
from sidecar.core.issuer import Introspected, IntrospectionRules, Issuer
from sidecar.core.subject import SubjectKey
from sidecar.core.token_memory import TokenMemory
from sidecar.introspection import IntrospectionUnavailable, NoIntrospection
from sidecar.ports import Change, StreamKind
from sidecar.stream_guard import StreamGuard
from sidecar.streams import Streams
from tests.fakes.waiting import until
from tests.fakes.world import AUDIENCE, ISSUER, NOW, REALM, World

OPAQUE = "2YotnFZFEjr1zCsicMWpAA"


def issuer(tokens: Introspected = Introspected.OPAQUE, **rules: Any) -> Issuer:
    return Issuer(
        ISSUER,
        REALM,
        frozenset({"RS256"}),
        frozenset({AUDIENCE}),
        introspection=IntrospectionRules(tokens, **rules),
    )


def asking(tokens: Introspected = Introspected.OPAQUE, **rules: Any) -> World:
    """Return a world whose issuer says that ``OPAQUE`` is a good token of the robot's."""
    world = World(issuers=(issuer(tokens),), **rules)
    world.introspector.active[OPAQUE] = answer()
    return world


def answer(**changed: Any) -> dict[str, Any]:
    members = {"active": True, "sub": "robot", "aud": AUDIENCE, "exp": NOW + 300, **changed}
    return {name: value for name, value in members.items() if value is not None}


async def ask(world: World, token: str = OPAQUE, path: str = "/reports") -> Decision:
    return await world.wait_for("GET", path, token=token)


def reason_of(decision: Decision) -> DenyReason:
    assert isinstance(decision, Deny)
    return decision.reason


async def test_an_opaque_token_gets_in_on_its_issuers_word() -> None:
    world = asking()
    world.introspector.active[OPAQUE] = answer(
        scope="read write", client_id="program", jti="7", iat=NOW - 5, iss=ISSUER
    )
    decision = await ask(world)

    assert isinstance(decision, Grant)
    principal = decision.principal
    assert principal is not None
    assert principal.key == SubjectKey(REALM, "robot")
    assert principal.scopes == {"read", "write"}
    assert (principal.client_id, principal.token_id) == ("program", "7")
    assert (principal.issued_at, principal.expires_at) == (NOW - 5, NOW + 300)
    assert world.introspector.asked == [(ISSUER, OPAQUE)]


async def test_it_is_not_granted_without_a_question() -> None:
    world = asking()

    assert world.authorizer.authorize_now(world.request(token=OPAQUE)) is None
    assert isinstance(await ask(world), Grant)
    assert world.authorizer.authorize_now(world.request(token=OPAQUE)) is None


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"aud": "api://other"}, DenyReason.WRONG_AUDIENCE),
        ({"aud": None}, DenyReason.WRONG_AUDIENCE),
        ({"exp": NOW}, DenyReason.TOKEN_EXPIRED),
        ({"exp": None}, DenyReason.CLAIMS_REFUSED),
        ({"exp": str(NOW + 300)}, DenyReason.CLAIMS_REFUSED),
        ({"exp": 10**400}, DenyReason.CLAIMS_REFUSED),
        ({"nbf": NOW + 1}, DenyReason.TOKEN_NOT_YET_VALID),
        ({"iat": NOW + 1}, DenyReason.TOKEN_NOT_YET_VALID),
        ({"sub": None}, DenyReason.CLAIMS_REFUSED),
        ({"sub": "a\r\nX-Auth-Groups: admin"}, DenyReason.CLAIMS_REFUSED),
        ({"sub": "stranger"}, DenyReason.SUBJECT_UNKNOWN),
        ({"iss": "https://other"}, DenyReason.UNKNOWN_ISSUER),
        ({"token_type": "refresh_token"}, DenyReason.CLAIMS_REFUSED),
        ({"jti": ""}, DenyReason.CLAIMS_REFUSED),
    ],
)
async def test_what_the_issuer_says_is_judged_as_claims_are(
    changed: dict[str, Any], reason: DenyReason
) -> None:
    world = asking()
    world.introspector.active[OPAQUE] = answer(**changed)

    assert reason_of(await ask(world)) is reason


async def test_an_inactive_token_is_refused() -> None:
    assert reason_of(await ask(asking(), "other")) is DenyReason.TOKEN_INACTIVE


async def test_while_nobody_can_say_it_is_503() -> None:
    world = asking()
    world.introspector.is_down = True

    decision = await ask(world)

    assert reason_of(decision) is DenyReason.INTROSPECTION_UNAVAILABLE
    assert DenyReason.INTROSPECTION_UNAVAILABLE.http_status == 503


async def test_an_endpoint_that_never_answers_costs_the_budget_and_no_more() -> None:
    world = asking(budget_seconds=0.05)
    world.introspector.held = asyncio.Event()

    assert reason_of(await ask(world)) is DenyReason.INTROSPECTION_UNAVAILABLE


async def test_the_account_is_judged_on_every_request() -> None:
    world = asking()
    assert isinstance(await ask(world), Grant)
    world.disable("robot")

    assert reason_of(await ask(world)) is DenyReason.SUBJECT_INACTIVE


async def test_in_strict_mode_the_account_is_read_after_the_answer() -> None:
    world = asking(strict=True)

    assert isinstance(await ask(world), Grant)


async def test_a_scope_that_was_taken_away_is_gone_on_the_same_connection() -> None:
    """CVE-2021-32701: what a connection remembers of its caller must not outlive the answer."""
    world = asking()
    world.introspector.active[OPAQUE] = answer(scope="reports.write")
    request = world.request("POST", token=OPAQUE)
    request.memory = TokenMemory()
    assert isinstance(await world.authorizer.authorize(request), Grant)

    world.introspector.active[OPAQUE] = answer()

    decision = await world.authorizer.authorize(request)
    assert reason_of(decision) is DenyReason.INSUFFICIENT_SCOPE


async def test_a_jwt_is_not_asked_about() -> None:
    world = asking()

    assert isinstance(await ask(world, world.sign()), Grant)
    forged = await ask(world, world.sign(iss="https://other"))
    assert reason_of(forged) is DenyReason.UNKNOWN_ISSUER
    assert world.introspector.asked == []


async def test_without_an_endpoint_an_opaque_token_is_unreadable() -> None:
    world = World()

    assert reason_of(await ask(world)) is DenyReason.TOKEN_UNREADABLE
    with pytest.raises(IntrospectionUnavailable):
        await NoIntrospection().introspect(ISSUER, BearerToken(OPAQUE))


async def test_a_token_with_nobodys_prefix_causes_no_question() -> None:
    world = asking()
    world.settle((issuer(prefix="ory_at_"),))

    assert reason_of(await ask(world)) is DenyReason.UNKNOWN_ISSUER
    assert world.introspector.asked == []


async def test_an_issuer_that_signs_nothing_has_no_jwts() -> None:
    world = asking(Introspected.OPAQUE_ONLY)

    assert reason_of(await ask(world, world.sign())) is DenyReason.TOKEN_UNREADABLE
    assert isinstance(await ask(world), Grant)
    assert world.keys.refreshes == []


async def test_every_jwt_is_asked_about_where_the_settings_say_so() -> None:
    world = asking(Introspected.ALL)
    token = world.sign()
    assert reason_of(await ask(world, token)) is DenyReason.TOKEN_INACTIVE
    world.introspector.active[token] = {"active": True}
    assert isinstance(await ask(world, token), Grant)

    world.introspector.is_down = True
    assert reason_of(await ask(world, token)) is DenyReason.INTROSPECTION_UNAVAILABLE
    world.introspector.is_down = False
    world.introspector.active[token] = {"active": True, "sub": "other"}
    assert reason_of(await ask(world, token)) is DenyReason.CLAIMS_REFUSED


async def test_a_forged_or_expired_jwt_causes_no_question() -> None:
    world = asking(Introspected.ALL)
    token = world.sign()

    await ask(world, token[:-8] + "AAAAAAAA")
    await ask(world, world.sign(exp=NOW - 1))

    assert world.introspector.asked == []


async def test_disabling_the_account_cuts_the_stream_of_an_opaque_token() -> None:
    world = asking()
    decision = await ask(world)
    assert isinstance(decision, Grant)
    streams = Streams(world.observer)
    guard = StreamGuard(streams, world.accounts, world.clock, {ISSUER: 0.0})
    cuts: list[object] = []
    with streams.registered(decision, StreamKind.HTTP, cuts.append):
        task = asyncio.get_running_loop().create_task(guard.run())
        world.disable("robot")
        await until(lambda: cuts)
        task.cancel()
        await asyncio.wait((task,))


async def test_a_stream_ends_with_the_token_that_the_issuer_dated() -> None:
    world = asking()
    decision = await ask(world)
    assert isinstance(decision, Grant)
    streams = Streams(world.observer)
    guard = StreamGuard(streams, world.accounts, world.clock, {ISSUER: 0.0})
    cuts: list[object] = []
    with streams.registered(decision, StreamKind.HTTP, cuts.append):
        await guard.cut_expired()
        assert not cuts
        world.clock.advance(300)
        await guard.cut_expired()
        assert cuts


async def test_revoking_its_jti_refuses_an_opaque_token() -> None:
    world = asking()
    world.introspector.active[OPAQUE] = answer(jti="7")
    assert isinstance(await ask(world), Grant)

    world.accounts.revoked_tokens.add((REALM, "7"))
    world.accounts.change(Change(REALM, None, "7"))

    assert reason_of(await ask(world)) is DenyReason.TOKEN_REVOKED


async def test_a_bound_opaque_token_is_never_taken_as_a_plain_bearer() -> None:
    """RFC 9449, 6.2 and RFC 8705, 3.2: the answer says what it is bound to."""
    world = asking()
    for member in ("jkt", "x5t#S256"):
        world.introspector.active[OPAQUE] = answer(cnf={member: "A" * 43})
        assert reason_of(await ask(world)) is DenyReason.BINDING_REFUSED


async def test_a_binding_that_the_issuer_adds_is_demanded_on_the_same_connection() -> None:
    world = asking()
    request = world.request(token=OPAQUE)
    request.memory = TokenMemory()
    assert isinstance(await world.authorizer.authorize(request), Grant)
    world.introspector.active[OPAQUE] = answer(cnf={"jkt": "A" * 43})

    decision = await world.authorizer.authorize(request)

    assert reason_of(decision) is DenyReason.BINDING_REFUSED


async def test_an_answer_that_binds_a_jwt_otherwise_than_it_says_is_refused() -> None:
    world = asking(Introspected.ALL)
    token = world.sign()
    world.introspector.active[token] = {"active": True, "cnf": {"jkt": "A" * 43}}

    assert reason_of(await ask(world, token)) is DenyReason.CLAIMS_REFUSED


async def test_a_bound_opaque_token_gets_in_with_its_certificate() -> None:
    world = asking()
    world.settle((replace(issuer(), binding=BindingRules(Binding.OFF, Binding.ALLOWED)),))
    world.introspector.active[OPAQUE] = answer(cnf={"x5t#S256": "A" * 43})
    request = world.request(token=OPAQUE)
    assert reason_of(await world.authorizer.authorize(request)) is DenyReason.BINDING_REFUSED
    request.shown = Shown(certificate="A" * 43)

    assert isinstance(await world.authorizer.authorize(request), Grant)
