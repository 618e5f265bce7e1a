import pytest

from sidecar.adapters.known_standings import KnownStandings
from sidecar.core.subject import SubjectKey
from sidecar.ports import Change

ALICE = SubjectKey("corp", "alice")


def filled() -> KnownStandings:
    known = KnownStandings(10)
    known.fill_account(ALICE)({b"status": b"active"})
    known.fill_realm("corp")({b"not_before": b"5"})
    known.fill_revoked("corp", "j-1")(1)
    return known


def test_a_standing_is_known_once_all_of_it_is() -> None:
    known = KnownStandings(10)
    assert known.look_up(ALICE, None) is None
    known.fill_account(ALICE)({})
    assert known.look_up(ALICE, None) is None
    known.fill_realm("corp")({})
    assert known.look_up(ALICE, None) is not None
    assert known.look_up(ALICE, "j-1") is None
    known.fill_revoked("corp", "j-1")(0)
    assert known.look_up(ALICE, "j-1") == (None, 0.0, False)


@pytest.mark.parametrize(
    "change", [Change("corp", "alice"), Change("corp"), Change("corp", token_id="j-1")]
)
def test_what_changed_is_forgotten(change: Change) -> None:
    known = filled()
    standing = known.look_up(ALICE, "j-1")
    assert standing is not None
    assert (standing.realm_not_before, standing.token_revoked) == (5.0, True)

    known.forget(change)

    assert known.look_up(ALICE, "j-1") is None


@pytest.mark.parametrize(
    "change", [Change("corp", "bob"), Change("other"), Change("corp", None, "j-2")]
)
def test_what_did_not_change_stays(change: Change) -> None:
    known = filled()
    known.forget(change)

    assert known.look_up(ALICE, "j-1") is not None


def test_everything_can_be_forgotten() -> None:
    known = filled()
    known.forget_all()

    assert known.look_up(ALICE, None) is None


def test_the_least_recently_used_is_forgotten_beyond_the_capacity() -> None:
    known = KnownStandings(2)
    known.fill_realm("corp")({})
    alice, bob, eve = (SubjectKey("corp", name) for name in ("alice", "bob", "eve"))
    for subject in (alice, bob):
        known.fill_account(subject)({})
    assert known.look_up(alice, None) is not None

    known.fill_account(eve)({})

    assert known.look_up(bob, None) is None
    assert known.look_up(alice, None) is not None
    assert known.look_up(eve, None) is not None


@pytest.mark.parametrize("reply", [None, b"active", [b"status", b"active"], 1])
def test_a_reply_of_another_kind_is_no_account(reply: object) -> None:
    known = KnownStandings(2)
    known.fill_realm("corp")({})
    with pytest.raises(TypeError):
        known.fill_account(ALICE)(reply)

    assert known.look_up(ALICE, None) is None


@pytest.mark.parametrize("reply", [None, b"OK", {}, []])
def test_a_reply_of_another_kind_revokes_nothing_and_clears_nothing(reply: object) -> None:
    with pytest.raises((TypeError, ValueError)):
        KnownStandings(2).fill_revoked("corp", "j-1")(reply)
