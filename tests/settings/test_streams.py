"""What is in flight: its settings."""

import pytest

from sidecar.ports import OnExpiry
from tests.settings.desk import GOOD, Desk, changed


def test_expiry_cuts_unless_told_otherwise(desk: Desk) -> None:
    assert desk.load(GOOD).streams.expired is OnExpiry.CUT
    assert desk.load(changed(streams={"expired": "finish"})).streams.expired is OnExpiry.FINISH


@pytest.mark.parametrize("value", ["never", True, None])
def test_expiry_does_one_of_two_things(desk: Desk, value: object) -> None:
    assert "streams.expired" in desk.the_problem(changed(streams={"expired": value}))
