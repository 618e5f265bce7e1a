"""The token bucket: exact, bounded, and without a timer."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.rate_limit import Buckets, Limit

RATES = st.fractions(min_value=Fraction(1, 1000), max_value=10_000, max_denominator=1000)
MOST = 1000


def granted(buckets: Buckets, who: str, now: float, tries: int) -> int:
    return sum(not buckets.take(who, now) for _ in range(tries))


def test_a_burst_passes_at_once_and_then_the_rate() -> None:
    buckets = Buckets(Fraction(10), 5, MOST)

    assert granted(buckets, "alice", 100.0, 20) == 5
    assert granted(buckets, "alice", 100.1, 20) == 1
    assert granted(buckets, "alice", 100.3, 20) == 2
    assert granted(buckets, "alice", 1000.0, 20) == 5


def test_whoever_is_refused_is_told_when_to_come_back_and_gets_in_then() -> None:
    buckets = Buckets(Fraction(1, 4), 1, MOST)
    assert buckets.take("alice", 100.0) == 0

    wait = buckets.take("alice", 101.0)

    assert wait == pytest.approx(3.0)
    assert buckets.take("alice", 101.0 + wait) == 0


def test_to_be_refused_costs_nothing() -> None:
    buckets = Buckets(Fraction(1), 1, MOST)
    granted(buckets, "alice", 100.0, 1000)

    assert buckets.take("alice", 101.0) == 0


def test_callers_have_budgets_of_their_own() -> None:
    buckets = Buckets(Fraction(1), 1, MOST)

    assert granted(buckets, "alice", 100.0, 9) == 1
    assert granted(buckets, "bob", 100.0, 9) == 1


def test_no_rounding_adds_up() -> None:
    """A third of a second has no end in decimals, and yet the sum of 30,000 is exact."""
    buckets = Buckets(Fraction(3), 10, MOST)
    start = 1000

    passed = sum(
        not buckets.take("alice", start + second + tenth / 10)
        for second in range(10_000)
        for tenth in range(10)
    )

    # The burst, and three in each of 9999.9 seconds.
    assert passed == 10 + 29_999


@given(
    rate=RATES,
    burst=st.integers(1, 50),
    gaps=st.lists(st.integers(0, 2 * 10**9), max_size=100),
)
def test_no_window_holds_more_than_burst_and_rate(
    rate: Fraction, burst: int, gaps: list[int]
) -> None:
    buckets = Buckets(rate, burst, MOST)
    now, passed = 10**9, []
    for gap in gaps:
        now += gap
        # Whole milliseconds, which a float of this size tells apart exactly enough.
        now -= now % 1_000_000
        if not buckets.take("alice", now / 10**9):
            passed.append(int(now / 10**9 * 10**9))
    for first, began in enumerate(passed):
        for last in range(first, len(passed)):
            allowed = burst + rate * (passed[last] - began) / 10**9
            assert last - first + 1 <= allowed


@given(rate=RATES, burst=st.integers(1, 50), rest=st.floats(0, 100))
def test_whoever_keeps_to_the_rate_is_never_refused(
    rate: Fraction, burst: int, rest: float
) -> None:
    buckets = Buckets(rate, burst, MOST)
    interval = float(1 / rate) + 1e-6

    assert not any(buckets.take("alice", 1.0 + rest + each * interval) for each in range(200))


def test_a_full_bucket_is_not_kept() -> None:
    buckets = Buckets(Fraction(10), 1, MOST)
    for each in range(500):
        buckets.take(f"visitor-{each}", 100.0)
    assert len(buckets) == 500

    for each in range(500):
        buckets.take("alice", 200.0 + each)

    assert len(buckets) == 1


def test_no_more_callers_are_remembered_than_may_be() -> None:
    """O4: whoever comes from a million addresses fills no memory."""
    buckets = Buckets(Fraction(1, 1000), 1, 100)
    for each in range(10_000):
        buckets.take(each, 100.0)
        assert len(buckets) <= 100

    assert buckets.take(9_999, 100.0) > 0
    assert buckets.take(0, 100.0) == 0  # forgotten: it begins anew


def test_a_bucket_from_which_others_took_is_full_later() -> None:
    buckets = Buckets(Fraction(1), 10, MOST)
    buckets.delay("alice", 8.0, 100.0)

    assert granted(buckets, "alice", 100.0, 20) == 2
    buckets.delay("alice", 1.0, 100.0)  # what is known already changes nothing
    assert granted(buckets, "alice", 101.0, 20) == 1


@pytest.mark.parametrize(
    ("limit", "window"),
    [(Limit("a", Fraction(10), 25), 3), (Limit("a", Fraction(1, 10), 1), 10), (Limit("a"), 0)],
)
def test_a_window_is_what_an_empty_budget_takes_to_fill_up(limit: Limit, window: int) -> None:
    assert limit.window == window


def test_a_limit_is_shared_out_and_rounded_up() -> None:
    shared = Limit("a", Fraction(10), 5, 3).shared_by(4)

    assert (shared.rate, shared.burst, shared.concurrent) == (Fraction(5, 2), 2, 1)
    assert Limit("a").shared_by(4).concurrent is None
