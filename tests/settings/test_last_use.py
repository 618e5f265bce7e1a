"""Recording the last use: off, until it is asked for."""

from typing import Any

import pytest

from tests.settings.desk import GOOD, Desk, changed


def recording(url: str = "redis://127.0.0.1/0", **members: Any) -> dict[str, Any]:
    return changed(accounts={**GOOD["accounts"], "url": url, "last_use": members})


def test_nothing_is_recorded_until_it_is_asked_for(desk: Desk) -> None:
    """It takes rights to write, which the sidecar needs for nothing else."""
    assert desk.load(GOOD).accounts.last_use is None


def test_it_is_written_once_a_minute_unless_told_otherwise(desk: Desk) -> None:
    found = desk.load(recording()).accounts.last_use
    other = desk.load(recording(every=5)).accounts.last_use

    assert found is not None
    assert other is not None
    assert (found.every, other.every) == (60, 5)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (recording(every=0.5), "greater than or equal to 1"),
        (recording(every=float("nan")), "less than or equal to 86400"),
        (recording(every=86401), "less than or equal to 86400"),
        (recording("memory://"), "nobody could read it out of memory://"),
        (recording(seconds=5), "is no setting"),
    ],
)
def test_what_cannot_work_is_refused(desk: Desk, settings: dict[str, Any], says: str) -> None:
    assert says in desk.the_problem(settings)


def test_the_environment_can_turn_it_on(desk: Desk) -> None:
    found = desk.load(GOOD, SIDECAR_ACCOUNTS__LAST_USE__EVERY="30").accounts.last_use

    assert found is not None
    assert found.every == 30
