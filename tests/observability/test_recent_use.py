"""What is kept of who was let in."""

from dataclasses import replace

from sidecar.core.decision import Deny, DenyReason, Grant
from sidecar.core.last_use import LastUse
from sidecar.core.principal import Principal, PrincipalKind
from sidecar.core.request import AccessRequest
from sidecar.core.routes import Route
from sidecar.core.subject import SubjectKey
from sidecar.observability.recent_use import RecentUse
from tests.fakes.clock import FakeClock

REQUEST = AccessRequest("GET", "a", "/x", "", (), "127.0.0.1", "r")
ROUTE = Route("r", "/x")
ALICE, BOB, EVE = (SubjectKey("corp", name) for name in ("alice", "bob", "eve"))


def principal(key: SubjectKey) -> Principal:
    return Principal(
        key, PrincipalKind.SERVICE_ACCOUNT, "https://idp.example", "", (), frozenset(), "", None,
        None, 1.0,
    )  # fmt: skip


def use(recent: RecentUse, *keys: SubjectKey) -> None:
    for key in keys:
        recent.decided(REQUEST, Grant(ROUTE, principal(key)), 0.0)


def test_each_grant_to_an_account_counts_and_the_latest_is_kept() -> None:
    clock = FakeClock(100.0)
    recent = RecentUse(clock, 10)
    use(recent, ALICE, BOB)
    clock.advance(5.0)
    use(recent, ALICE)

    assert recent.take() == {ALICE: LastUse(105.0, 2), BOB: LastUse(100.0, 1)}
    assert recent.take() == {}


def test_who_was_refused_or_has_no_account_used_none() -> None:
    recent = RecentUse(FakeClock(100.0), 10)
    person = replace(principal(ALICE), kind=PrincipalKind.UNREGISTERED)
    for decision in (
        Deny(DenyReason.MISSING_GROUP, "", ROUTE),
        Grant(ROUTE),
        Grant(ROUTE, person),
    ):
        recent.decided(REQUEST, decision, 0.0)

    assert recent.take() == {}


def test_what_could_not_be_written_is_joined_with_what_came_since() -> None:
    clock = FakeClock(100.0)
    recent = RecentUse(clock, 10)
    use(recent, ALICE, ALICE, BOB)
    taken = recent.take()
    clock.advance(5.0)
    use(recent, ALICE)
    recent.put_back(taken)

    assert recent.take() == {ALICE: LastUse(105.0, 3), BOB: LastUse(100.0, 1)}


def test_there_is_an_end_to_what_is_kept_and_what_is_lost_is_counted() -> None:
    recent = RecentUse(FakeClock(100.0), 2)
    use(recent, ALICE, BOB, EVE, EVE, ALICE)
    assert recent.lost == 2

    taken = recent.take()
    use(recent, EVE)
    recent.put_back(taken)

    assert recent.lost == 2 + taken[BOB].uses
    assert set(recent.take()) == {EVE, ALICE}
