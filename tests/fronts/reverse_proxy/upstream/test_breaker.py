"""The circuit breaker: when it opens, who tries it, and what closes it. On the test's own clock."""

from hypothesis import given
from hypothesis import strategies as st

from sidecar.fronts.reverse_proxy.upstream.breaker import Breaker, BreakerRules, State

PROBED = BreakerRules(
    unhealthy_after=3, healthy_after=2, connect_suffices=False, first_pause=1.0, longest_pause=8.0
)


class Kept:
    """A breaker, and what it said of its changes."""

    def __init__(self, rules: BreakerRules = PROBED, jitter: float = 1.0) -> None:
        self.changes: list[bool] = []
        self.breaker = Breaker(rules, self._changed, lambda: jitter)

    def _changed(self) -> None:
        self.changes.append(self.breaker.is_closed)

    def fail(self, times: int, now: float = 0.0) -> None:
        for _ in range(times):
            self.breaker.failed(now)


def opened(rules: BreakerRules = PROBED, jitter: float = 1.0) -> Breaker:
    kept = Kept(rules, jitter)
    kept.fail(rules.unhealthy_after)
    assert kept.breaker.state is State.OPEN
    return kept.breaker


def test_it_opens_after_so_many_failures_in_a_row() -> None:
    kept = Kept()
    kept.fail(2)
    kept.breaker.connected()
    kept.fail(2)
    assert kept.breaker.may_ask(0.0)

    kept.fail(1)

    assert not kept.breaker.may_ask(0.0)
    assert kept.changes == [False]


def test_that_it_can_be_connected_to_does_not_hide_that_probes_fail() -> None:
    """It accepts, and never answers."""
    breaker = Kept().breaker
    for _ in range(3):
        breaker.connected()
        breaker.probed(well=False, now=0.0)

    assert breaker.state is State.OPEN


def test_probes_close_it_when_enough_of_them_went_well() -> None:
    kept = Kept()
    kept.fail(3)

    kept.breaker.probed(well=True, now=0.1)
    assert not kept.breaker.is_closed
    kept.breaker.probed(well=True, now=0.2)

    assert kept.breaker.is_closed
    assert kept.changes == [False, True]


def test_good_signs_have_to_come_in_a_row() -> None:
    breaker = opened()
    for well in (True, False, True):
        breaker.probed(well=well, now=0.1)

    assert not breaker.is_closed


def test_half_open_lets_one_request_through_and_no_other() -> None:
    breaker = opened()
    assert not breaker.may_ask(0.99)
    assert breaker.may_ask(1.0)

    breaker.try_once(1.0)

    assert breaker.state is State.HALF_OPEN
    assert not breaker.may_ask(1.5)


def test_a_request_that_tried_it_and_was_answered_counts_as_a_good_sign() -> None:
    breaker = opened()
    breaker.try_once(1.0)
    breaker.answered()
    assert breaker.may_ask(1.1)  # one more is wanted, and may come at once
    breaker.try_once(1.1)
    breaker.answered()

    assert breaker.is_closed


def test_each_failed_trial_makes_the_pause_longer_up_to_a_bound() -> None:
    breaker, now, pauses = opened(), 0.0, []
    for _ in range(6):
        began = now
        while not breaker.may_ask(now):
            now += 0.25
        pauses.append(now - began)
        breaker.try_once(now)
        breaker.failed(now)

    assert pauses == [1.0, 2.0, 4.0, 8.0, 8.0, 8.0]


def test_a_pause_is_no_longer_than_that_and_no_shorter_than_half_of_it() -> None:
    assert opened(jitter=0.0).may_ask(0.5)
    assert not opened(jitter=1.0).may_ask(0.99)


def test_what_failed_while_it_was_open_already_makes_nothing_longer() -> None:
    breaker = opened()
    for _ in range(50):
        breaker.failed(0.5)
        breaker.probed(well=False, now=0.5)

    assert breaker.may_ask(1.0)


def test_a_trial_of_whose_end_nobody_hears_holds_up_nobody_for_ever() -> None:
    breaker = opened()
    breaker.try_once(1.0)

    assert breaker.may_ask(3.0)


def test_where_nothing_is_probed_one_failure_opens_it_and_a_connection_closes_it() -> None:
    breaker = opened(BreakerRules())
    assert breaker.may_ask(0.1)
    breaker.try_once(0.1)
    breaker.connected()

    assert breaker.is_closed


EVENTS = st.sampled_from(["failed", "connected", "answered", "probed well", "probed badly", "ask"])


@given(events=st.lists(st.tuples(EVENTS, st.floats(0, 5)), max_size=60))
def test_whatever_happens_it_is_asked_again_within_the_longest_pause(
    events: list[tuple[str, float]],
) -> None:
    """And between two changes of its state it never says the same twice."""
    kept = Kept()
    breaker, now = kept.breaker, 0.0
    for event, later in events:
        now += later
        match event:
            case "failed":
                breaker.failed(now)
            case "connected":
                breaker.connected()
            case "answered":
                breaker.answered()
            case "ask":
                if breaker.may_ask(now) and not breaker.is_closed:
                    breaker.try_once(now)
                    assert not breaker.may_ask(now)
            case _:
                breaker.probed(well=event == "probed well", now=now)
        assert breaker.may_ask(now + PROBED.longest_pause)
        assert not breaker.is_closed or breaker.may_ask(now)
    assert kept.changes == [bool(each % 2) for each in range(len(kept.changes))]
