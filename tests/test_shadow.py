"""The decision on routes in shadow: made as ever, and not enforced."""

import asyncio
from dataclasses import replace
from fractions import Fraction

import pytest

from sidecar.admission import Limiter, LimitRules
from sidecar.core.decision import Decision, Deny, DenyReason, Grant
from sidecar.core.rate_limit import Limit
from sidecar.core.request import Ambiguity
from sidecar.core.routes import Requirement, Route
from sidecar.ports import StatusUnavailable
from sidecar.rules import Admission
from tests.fakes.world import ISSUERS, NOW, ROBOT, ROUTES, World

R = DenyReason

IN_SHADOW = (
    *(replace(each, shadow=True) for each in ROUTES if each.name != "admin"),
    *(each for each in ROUTES if each.name == "admin"),
    Route("unmatched", "/**", requirement=Requirement(bearer=False, nobody=True), shadow=True),
)


@pytest.fixture
def world() -> World:
    return World(routes=IN_SHADOW)


def shadowed(decision: Decision) -> DenyReason | None:
    """Return why it would be refused, or None for a plain grant."""
    assert isinstance(decision, Grant), decision
    if decision.shadowed is None:
        return None
    assert decision.principal is None
    assert decision.slot is None
    return decision.shadowed.reason


def test_a_good_request_is_granted_to_its_principal_as_on_any_route(world: World) -> None:
    grant = world.ask("GET", "/reports", token=world.sign())

    assert shadowed(grant) is None
    assert isinstance(grant, Grant)
    assert grant.principal is not None
    assert grant.principal.key == ROBOT


def test_who_would_be_refused_passes_and_is_heard_of_as_refused(world: World) -> None:
    world.disable("robot")
    grant = world.ask("GET", "/reports", token=world.sign())

    assert shadowed(grant) is R.SUBJECT_INACTIVE
    [(_, heard, _)] = world.observer.decisions
    assert heard is grant
    assert isinstance(grant, Grant)
    assert grant.shadowed is not None
    assert grant.shadowed.caller is not None
    assert grant.shadowed.caller.key == ROBOT


@pytest.mark.parametrize(
    ("authorization", "why"),
    [
        ((), R.NO_CREDENTIALS),
        (("Basic eA==",), R.NO_CREDENTIALS),
        (("Bearer x", "Bearer x"), R.MALFORMED_CREDENTIALS),
        (("Bearer eyJ.garbage.x",), R.TOKEN_UNREADABLE),
    ],
)
def test_any_credential_passes_for_upstream_to_judge(
    world: World, authorization: tuple[str, ...], why: DenyReason
) -> None:
    decision = world.authorizer.authorize_now(world.request(authorization=authorization))

    assert decision is not None
    assert shadowed(decision) is why


@pytest.mark.parametrize(
    ("method", "path", "why"),
    [
        ("TRACE", "/reports", R.METHOD_REFUSED),
        ("CONNECT", "", R.METHOD_REFUSED),
        ("GET", "/public/../reports", R.MALFORMED_REQUEST),
        ("GET", "/%72eports", R.MALFORMED_REQUEST),
        ("GET", "/admin/x", R.NO_CREDENTIALS),
    ],
)
def test_what_is_unsafe_or_enforced_is_refused_beside_shadow(
    world: World, method: str, path: str, why: DenyReason
) -> None:
    decision = world.ask(method, path)

    assert isinstance(decision, Deny)
    assert decision.reason is why


def test_a_tolerated_path_that_may_mean_an_enforced_route_needs_its_token() -> None:
    world = World(routes=IN_SHADOW, tolerated=frozenset(Ambiguity))
    decision = world.ask("GET", "/people/x%2Fadmin")
    assert isinstance(decision, Deny)
    assert decision.reason is R.NO_CREDENTIALS
    granted = world.ask("GET", "/people/x%2Fadmin", token=world.sign())

    assert shadowed(granted) is None


def test_what_no_route_matches_passes_only_by_a_row_of_its_own(world: World) -> None:
    assert shadowed(world.ask("GET", "/nowhere")) is R.NO_ROUTE
    world.settle(ISSUERS, IN_SHADOW[:-1])
    assert isinstance(world.ask("GET", "/nowhere"), Deny)


async def test_limits_are_counted_and_not_enforced() -> None:
    rules = LimitRules(account=Limit("account", Fraction(1)))
    world = World(routes=IN_SHADOW, admission=Admission(limiter=Limiter(rules)))
    token = world.sign()
    assert shadowed(world.ask("GET", "/reports", token=token)) is None

    assert shadowed(world.ask("GET", "/reports", token=token)) is R.RATE_LIMITED
    assert shadowed(await world.wait_for("GET", "/reports", token=token)) is R.RATE_LIMITED


def test_it_passes_while_the_account_store_is_away(world: World) -> None:
    world.accounts.live = False
    assert shadowed(world.ask("GET", "/reports", token=world.sign())) is R.STATUS_UNAVAILABLE


async def test_a_store_that_fails_while_it_is_asked_holds_nobody_up(world: World) -> None:
    world.accounts.failure = StatusUnavailable("down")
    world.enroll("robot", at_hand=False)
    decision = await world.wait_for("GET", "/reports", token=world.sign())

    assert shadowed(decision) is R.STATUS_UNAVAILABLE


async def test_what_has_to_be_waited_for_is_not_waited_for_longer_than_the_caller_can(
    world: World,
) -> None:
    """The budget of an enforced route is five seconds: the test's own patience is less."""
    world.accounts.held = asyncio.Event()
    world.enroll("robot", at_hand=False)
    async with asyncio.timeout(4):
        request = world.request(token=world.sign())
        decision = await world.authorizer.authorize(request, patience=0.01)
        assert shadowed(decision) is R.STATUS_UNAVAILABLE


async def test_explain_says_what_it_would_be(world: World) -> None:
    decision, evidence = await world.authorizer.explain(world.request())

    assert isinstance(decision, Deny)
    assert decision.reason is R.NO_CREDENTIALS
    assert evidence.route is not None
    assert evidence.route.shadow


def test_a_token_that_has_expired_passes_without_its_name(world: World) -> None:
    grant = world.ask("GET", "/reports", token=world.sign(exp=NOW))

    assert shadowed(grant) is R.TOKEN_EXPIRED
