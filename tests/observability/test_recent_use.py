"""What is kept of who was let in."""

from dataclasses import replace

from sidecar.core.decision import Deny, DenyReason, Grant
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


def taken(recent: RecentUse) -> dict[SubjectKey, tuple[float, int]]:
    return {key: (use.last_seen, use.uses) for key, use in recent.take().items()}


def test_each_grant_to_an_account_counts_and_the_latest_is_kept() -> None:
    clock = FakeClock(100.0)
    recent = RecentUse(clock, 10)
    use(recent, ALICE, BOB)
    clock.advance(5.0)
    use(recent, ALICE)

    assert taken(recent) == {ALICE: (105.0, 2), BOB: (100.0, 1)}
    assert taken(recent) == {}


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


def test_there_is_an_end_to_what_is_kept_and_what_is_lost_is_counted() -> None:
    recent = RecentUse(FakeClock(100.0), 2)
    use(recent, ALICE, BOB, EVE, EVE, ALICE)

    assert recent.lost == 2
    assert taken(recent) == {ALICE: (100.0, 2), BOB: (100.0, 1)}
    use(recent, EVE)
    assert taken(recent) == {EVE: (100.0, 1)}
