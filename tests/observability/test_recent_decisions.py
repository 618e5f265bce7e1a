"""The latest decisions in memory: bounded, and without a token."""

import asyncio

import pytest

from sidecar.core.decision import Deny, DenyReason, Grant
from sidecar.core.request import AccessRequest
from sidecar.core.routes import Route
from sidecar.observability.recent_decisions import RecentDecisions, Traffic, Wanted
from tests.fakes.clock import FakeClock
from tests.fakes.world import ROBOT, World

GRANT = Grant(Route("reports", "/reports"))


def request(path: str = "/reports") -> AccessRequest:
    return AccessRequest("GET", "a", path, "access_token=x", ("Bearer ey.J.x",), "::1", "r-1")


def test_only_the_latest_are_kept() -> None:
    recent = RecentDecisions(FakeClock(), capacity=3)
    for number in range(5):
        recent.decided(request(f"/{number}"), GRANT, 0.0)

    assert [row["path"] for row in recent.newest(Wanted(), 10)] == ["/4", "/3", "/2"]
    assert [row["path"] for row in recent.newest(Wanted(), 1)] == ["/4"]


def test_neither_the_header_nor_the_query_is_kept() -> None:
    recent = RecentDecisions(FakeClock())
    recent.decided(request("/" + "x" * 100_000), GRANT, 0.0)

    (seen,) = recent._seen
    assert not {"access_token=x", "Bearer ey.J.x"} & set(map(str, seen))
    assert len(seen.path) == 2048


@pytest.mark.parametrize(
    ("wanted", "matches"),
    [
        (Wanted(), True),
        (Wanted(outcome="denied", reason="token_expired", realm="corp", subject="robot"), True),
        (Wanted(outcome="granted"), False),
        (Wanted(reason="token_revoked"), False),
        (Wanted(realm="lab"), False),
        (Wanted(subject="other"), False),
        (Wanted(route="read"), True),
        (Wanted(route="write"), False),
    ],
)
def test_what_is_wanted_is_told_by_outcome_reason_and_subject(
    wanted: Wanted, *, matches: bool
) -> None:
    world, recent = World(), RecentDecisions(FakeClock())
    denied = world.ask("GET", "/reports", token=world.sign(exp=1))
    recent.decided(request(), denied, 0.0)

    assert bool(recent.newest(wanted, 1)) is matches


def test_what_each_subject_asks_for_is_counted_over_the_last_minute() -> None:
    world, clock = World(), FakeClock()
    recent = RecentDecisions(clock)
    granted = world.ask("GET", "/reports", token=world.sign())
    denied = world.ask("GET", "/reports", token=world.sign(exp=1))
    recent.decided(request(), granted, 0.0)
    clock.advance(61)
    for decision in (granted, denied, GRANT, Deny(DenyReason.NO_ROUTE)):
        recent.decided(request(), decision, 0.0)

    assert recent.traffic() == {ROBOT: Traffic(rate=2 / 60, seen=clock.now())}


def test_where_more_is_asked_for_than_is_kept_the_rate_is_of_what_is_kept() -> None:
    world, clock = World(), FakeClock()
    recent = RecentDecisions(clock, capacity=10)
    granted = world.ask("GET", "/reports", token=world.sign())
    for _ in range(30):
        clock.advance(0.1)
        recent.decided(request(), granted, 0.0)

    assert round(recent.traffic()[ROBOT].rate, 1) == 11.1


async def test_a_follower_hears_what_is_wanted_while_it_follows() -> None:
    recent = RecentDecisions(FakeClock())
    with recent.followed(Wanted(outcome="denied")) as follower:
        recent.decided(request(), GRANT, 0.0)
        recent.decided(request(), Deny(DenyReason.NO_ROUTE), 0.0)
        async with asyncio.timeout(10):
            assert (await follower.next())["reason"] == "no_route"
    recent.decided(request(), Deny(DenyReason.NO_ROUTE), 0.0)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await follower.next()
