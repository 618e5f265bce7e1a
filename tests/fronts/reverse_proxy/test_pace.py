"""How slowly a body may come: figures alone, no clock."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.fronts.reverse_proxy.pace import BodyRate, Pace

TRICKLE = BodyRate(octets=100.0, grace=30.0)


def test_a_trickle_uses_up_the_patience() -> None:
    pace = Pace(TRICKLE)

    left = []
    for _ in range(3):
        pace.came(1, 10.0)
        left.append(pace.patience(300.0))

    assert left == [20.0, 10.0, 0.0]


def test_who_brings_enough_in_time_has_all_patience_anew() -> None:
    pace = Pace(TRICKLE)
    pace.came(2999, 29.0)
    assert pace.patience(300.0) == 1.0
    pace.came(1, 0.5)

    assert pace.patience(300.0) == 30.0


def test_what_was_sent_at_once_is_no_credit_for_later() -> None:
    pace = Pace(TRICKLE)
    pace.came(10_000_000, 0.1)

    pace.came(0, 30.0)

    assert pace.patience(300.0) == 0.0


def test_no_patience_is_longer_than_the_idle_timeout() -> None:
    assert Pace(TRICKLE).patience(5.0) == 5.0


def test_without_a_rate_a_body_may_be_as_slow_as_it_likes() -> None:
    pace = Pace(BodyRate(octets=0.0))
    pace.came(1, 3600.0)

    assert pace.patience(300.0) == 300.0


@given(
    st.lists(st.tuples(st.integers(1, 5000), st.floats(0.001, 30.0)), max_size=200),
    st.floats(1.0, 1000.0),
)
def test_no_body_is_waited_for_longer_than_its_octets_are_worth(
    pieces: list[tuple[int, float]], rate: float
) -> None:
    """All waiting, up to where patience ends, is at most a grace for each due amount, and one."""
    pace = Pace(BodyRate(rate, 30.0))
    octets, waited = 0, 0.0
    for came, wish in pieces:
        patience = pace.patience(math.inf)
        if patience == 0.0:
            break
        octets += came
        waited += (seconds := min(wish, patience))
        pace.came(came, seconds)

    assert waited <= 30.0 * (octets / (rate * 30.0) + 1) + 1e-6


@pytest.mark.parametrize("rate", [100.0, 1.0])
def test_who_keeps_the_rate_is_never_out_of_patience(rate: float) -> None:
    pace = Pace(BodyRate(rate, 30.0))
    for _ in range(1000):
        assert pace.patience(math.inf) > 0
        pace.came(math.ceil(rate), 1.0)
