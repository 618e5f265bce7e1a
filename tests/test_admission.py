"""Limits of callers: whose budget is spent by what, and that it comes back."""

from fractions import Fraction

import pytest
from typing_extensions import override

from sidecar.admission import Budgets, Limiter, LimitRules, network_of
from sidecar.core.decision import Decision, Deny, DenyReason, Grant
from sidecar.core.rate_limit import Exceeded, Limit
from sidecar.core.request import AccessRequest
from sidecar.core.routes import Requirement, Route
from sidecar.ports import CutReason, StreamKind
from sidecar.rules import Admission
from sidecar.streams import Streams
from tests.fakes.observer import RecordingObserver
from tests.fakes.world import NOW, ROUTES, World

TWO_A_SECOND = Limit("account", Fraction(2), 2)
ONE_AT_A_TIME = Limit("account", concurrent=1)


def limited(account: Limit = TWO_A_SECOND, address: Limit | None = None) -> World:
    rules = LimitRules(account) if address is None else LimitRules(account, address)
    return World(admission=Admission(limiter=Limiter(rules)))


def verdicts(world: World, number: int, token: str, path: str = "/reports") -> list[str]:
    return [verdict(world.ask("GET", path, token=token)) for _ in range(number)]


def verdict(decision: Decision) -> str:
    return decision.reason.value if isinstance(decision, Deny) else "granted"


def test_an_account_that_asks_too_fast_is_refused_until_its_budget_is_back() -> None:
    world = limited()
    token = world.sign()

    assert verdicts(world, 3, token) == ["granted", "granted", "rate_limited"]
    world.clock.advance(0.5)
    assert verdicts(world, 2, token) == ["granted", "rate_limited"]


def test_the_refusal_says_who_asked_where_and_when_to_come_back() -> None:
    world = limited(Limit("account", Fraction(1, 10), 1))
    token = world.sign(client_id="batch")
    world.ask("GET", "/reports", token=token)

    deny = world.ask("GET", "/reports", token=token)

    assert isinstance(deny, Deny)
    assert deny.exceeded == Exceeded("account", 1, 10, 10)
    assert deny.retry_after == 10
    assert deny.caller is not None
    assert (deny.caller.key.subject, deny.caller.client_id) == ("robot", "batch")
    assert deny.route is not None
    assert deny.route.name == "read"
    assert world.observer.decisions[-1][1] == deny


def test_one_account_cannot_use_up_anothers_budget() -> None:
    world = limited()
    world.enroll("other")
    verdicts(world, 9, world.sign())

    assert verdicts(world, 1, world.sign(sub="other")) == ["granted"]


def test_all_tokens_of_an_account_share_its_budget() -> None:
    world = limited()

    found = [verdicts(world, 1, world.sign(iat=NOW - 10 - each))[0] for each in range(3)]

    assert found == ["granted", "granted", "rate_limited"]


async def test_a_stranger_spends_nobodys_budget() -> None:
    """Whoever has no good token for it would else shut an account out by its name alone."""
    world = limited()
    forged = world.sign()[:-8] + "AAAAAAAA"
    old = world.sign(exp=NOW - 100)
    for bad in (forged, old):
        for _ in range(50):
            assert isinstance(await world.wait_for("GET", "/reports", token=bad), Deny)
    for _ in range(50):
        world.ask("POST", "/reports", token=world.sign())  # lacks the scope
        world.ask("GET", "/elsewhere", token=world.sign())

    assert verdicts(world, 3, world.sign()) == ["granted", "granted", "rate_limited"]


async def test_a_decision_that_is_walked_again_counts_once() -> None:
    world = limited()
    world.enroll("late", at_hand=False)
    token = world.sign(sub="late")
    request = world.request(token=token)

    assert world.authorizer.authorize_now(request) is None
    first = await world.authorizer.authorize(request)

    assert isinstance(first, Grant)
    assert verdicts(world, 2, token) == ["granted", "rate_limited"]


async def test_whoever_waits_for_a_decision_is_held_to_the_limit_too() -> None:
    world = limited()
    token = world.sign()
    verdicts(world, 2, token)

    decision = await world.wait_for("GET", "/reports", token=token)

    assert verdict(decision) == "rate_limited"


async def test_to_explain_a_decision_spends_nothing() -> None:
    world = limited()
    for _ in range(9):
        decision, _ = await world.authorizer.explain(world.request(token=world.sign()))
        assert isinstance(decision, Grant)

    assert verdicts(world, 1, world.sign()) == ["granted"]


def test_open_routes_are_limited_by_address_where_that_is_wanted() -> None:
    world = limited(address=Limit("address", Fraction(1), 1))

    found = [verdict(world.ask("GET", "/public/a")) for _ in range(2)]
    elsewhere = world.request("GET", "/public/a")
    elsewhere.peer = "192.0.2.8"
    other = world.authorizer.authorize_now(elsewhere)

    assert found == ["granted", "rate_limited"]
    assert isinstance(other, Grant)
    assert verdicts(world, 1, world.sign()) == ["granted"]


def test_open_routes_are_else_not_limited() -> None:
    world = limited()

    assert {verdict(world.ask("GET", "/public/a")) for _ in range(50)} == {"granted"}


def test_a_routes_own_limit_comes_in_place_of_the_general_one() -> None:
    own = Route("own", "/own", limit=Limit("route", Fraction(1), 1))
    free = Route("free", "/free", limit=Limit("route"))
    opened = Route("open", "/open", requirement=Requirement(bearer=False), limit=own.limit)
    assert own.limit is not None
    assert free.limit is not None
    limiter = Limiter(
        LimitRules(TWO_A_SECOND, routes={"own": own.limit, "open": own.limit, "free": free.limit})
    )
    world = World(routes=(own, free, opened, *ROUTES), admission=Admission(limiter=limiter))
    token = world.sign()

    assert verdicts(world, 2, token, "/own") == ["granted", "rate_limited"]
    assert set(verdicts(world, 50, token, "/free")) == {"granted"}
    assert verdicts(world, 3, token) == ["granted", "granted", "rate_limited"]
    assert verdicts(world, 2, token, "/open") == ["granted", "rate_limited"]


def granted(world: World, token: str) -> Grant:
    decision = world.ask("GET", "/reports", token=token)
    assert isinstance(decision, Grant)
    return decision


def ignore(reason: CutReason) -> None:
    del reason


def test_no_more_is_in_flight_than_may_be_and_an_end_makes_room() -> None:
    world = limited(ONE_AT_A_TIME)
    streams = Streams(RecordingObserver())
    token = world.sign()

    with streams.registered(granted(world, token), StreamKind.HTTP, ignore):
        assert verdicts(world, 1, token) == ["too_many_concurrent"]
        other = world.enroll("other").subject
        assert verdicts(world, 1, world.sign(sub=other)) == ["granted"]

    assert verdicts(world, 1, token) == ["granted"]


def test_a_stream_that_is_cut_gives_its_place_back_when_it_has_ended() -> None:
    world = limited(ONE_AT_A_TIME)
    streams = Streams(RecordingObserver())
    token = world.sign()
    stream = streams.registered(granted(world, token), StreamKind.WEBSOCKET, ignore)

    streams.cut([stream], CutReason.EXPIRED)
    assert verdicts(world, 1, token) == ["too_many_concurrent"]
    stream.leave()

    assert verdicts(world, 1, token) == ["granted"]


def test_what_was_granted_and_not_begun_takes_no_place() -> None:
    """At a door that only answers, the request never comes by."""
    world = limited(ONE_AT_A_TIME)

    assert set(verdicts(world, 9, world.sign())) == {"granted"}


def test_whoever_has_too_much_in_flight_spends_no_token() -> None:
    world = limited(Limit("account", Fraction(2), 2, 1))
    streams = Streams(RecordingObserver())
    token = world.sign()

    with streams.registered(granted(world, token), StreamKind.HTTP, ignore):
        assert verdicts(world, 9, token)[-1] == "too_many_concurrent"

    assert verdicts(world, 2, token) == ["granted", "rate_limited"]


def test_memory_is_given_back_with_the_last_place() -> None:
    limiter = Limiter(LimitRules(ONE_AT_A_TIME))
    world = World(admission=Admission(limiter=limiter))
    streams = Streams(RecordingObserver())
    token = world.sign()
    for _ in range(3):
        with streams.registered(granted(world, token), StreamKind.HTTP, ignore):
            assert sum(len(budget.in_flight) for budget in limiter.budgets) == 1

    assert not any(budget.in_flight for budget in limiter.budgets)


class Broken(Limiter):
    @override
    def judge(self, grant: Grant, request: AccessRequest, now: float) -> Decision:
        raise ZeroDivisionError(grant, request, now)


def test_limits_that_fail_refuse() -> None:
    world = World(admission=Admission(limiter=Broken(LimitRules())))

    deny = world.ask("GET", "/reports", token=world.sign())

    assert isinstance(deny, Deny)
    assert deny.reason is DenyReason.INTERNAL_ERROR


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.1", "192.0.2.2", False),
        ("2001:db8::1", "2001:db8::ffff:2", True),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("", "192.0.2.1", False),
    ],
)
def test_an_address_stands_for_one_subscriber(one: str, other: str, same: bool) -> None:  # noqa: FBT001
    assert (network_of(one) == network_of(other)) is same


def successive(*rules: LimitRules) -> list[World]:
    """Return worlds that take their budgets out of the same, as one generation after another."""
    budgets = Budgets()
    return [World(admission=Admission(limiter=Limiter(each, budgets))) for each in rules]


def test_what_a_caller_has_left_is_carried_over_to_a_limiter_on_the_same_terms() -> None:
    before, after = successive(LimitRules(TWO_A_SECOND), LimitRules(TWO_A_SECOND))
    token = before.sign()

    assert verdicts(before, 2, token) == ["granted"] * 2
    assert verdicts(after, 1, token) == ["rate_limited"]
    after.clock.advance(0.5)
    assert verdicts(after, 2, token) == ["granted", "rate_limited"]


def test_what_a_caller_has_in_flight_is_counted_on_until_it_ends() -> None:
    before, after = successive(LimitRules(ONE_AT_A_TIME), LimitRules(ONE_AT_A_TIME))
    grant = before.ask("GET", "/reports", token=before.sign())
    assert isinstance(grant, Grant)
    with Streams(before.observer).registered(grant, StreamKind.HTTP, lambda _: None):
        assert verdicts(after, 1, after.sign()) == ["too_many_concurrent"]

    assert verdicts(after, 1, after.sign()) == ["granted"]


def test_on_other_terms_every_caller_begins_anew() -> None:
    three = Limit("account", Fraction(2), 3)
    before, after = successive(LimitRules(TWO_A_SECOND), LimitRules(three))
    verdicts(before, 2, before.sign())

    assert verdicts(after, 3, after.sign()) == ["granted"] * 3


def test_budgets_that_nobody_has_any_more_are_forgotten() -> None:
    budgets = Budgets()
    limiter = Limiter(LimitRules(TWO_A_SECOND), budgets)
    taken = next(iter(limiter.budgets)).buckets
    assert taken is not None
    taken.take("robot", 1.0)
    del limiter, taken

    anew = next(iter(Limiter(LimitRules(TWO_A_SECOND), budgets).budgets)).buckets
    assert anew is not None
    assert len(anew) == 0
