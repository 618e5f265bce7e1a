"""Load shedding: when it begins, how much it refuses, and that it ends."""

from dataclasses import dataclass

import pytest

from sidecar.core.decision import Deny, DenyReason, Grant
from sidecar.ports import CutReason, StreamKind
from sidecar.rules import Admission
from sidecar.shedding import Shedder
from sidecar.streams import Streams
from tests.fakes.observer import RecordingObserver
from tests.fakes.world import World

MAX_LAG, PATIENCE = 0.1, 1.0


@dataclass
class Book:
    in_flight: int = 0


class Day:
    """A shedder and the loop that it hears of, on a clock of the test's."""

    def __init__(self, max_lag: float = MAX_LAG) -> None:
        self.now = 1000.0
        self.shedder = Shedder(Book(), 10, max_lag, PATIENCE)

    def pass_by(self, seconds: float, lag: float) -> None:
        """Let time pass in which the loop is so late, each time that it is measured."""
        ends = self.now + seconds
        while self.now < ends:
            self.now += max(lag, 0.02)
            self.shedder.heard(lag, self.now)

    def refused(self, requests: int = 1000) -> int:
        return sum(self.shedder.refusal() is not None for _ in range(requests))


@pytest.fixture
def day() -> Day:
    return Day()


def test_a_loop_in_time_refuses_nobody(day: Day) -> None:
    day.pass_by(60, MAX_LAG * 0.99)

    assert day.refused() == 0


def test_a_short_queue_is_no_overload(day: Day) -> None:
    """CoDel: what matters is whether it ever was short within the interval."""
    for _ in range(50):
        day.pass_by(PATIENCE * 0.9, MAX_LAG * 3)
        day.pass_by(0.02, 0.0)

    assert day.refused() == 0


def test_one_long_stall_is_no_overload(day: Day) -> None:
    day.now += 60
    day.shedder.heard(60.0, day.now)
    day.pass_by(0.1, 0.0)

    assert day.refused() == 0


def test_a_loop_that_stays_late_refuses_more_and_more_but_never_all(day: Day) -> None:
    day.pass_by(PATIENCE + 0.4, MAX_LAG)
    begun = day.refused()
    day.pass_by(1.0, MAX_LAG)
    more = day.refused()
    day.pass_by(60, MAX_LAG)
    most = day.refused()

    assert 0 < begun < more < most
    assert most == pytest.approx(950, abs=1)


def test_the_share_settles_between_half_and_all_of_what_is_allowed(day: Day) -> None:
    day.pass_by(PATIENCE + 1, MAX_LAG)
    before = day.shedder.share

    day.pass_by(60, MAX_LAG * 0.75)

    assert day.shedder.share == before


def test_it_ends_soon_when_the_loop_is_in_time_again(day: Day) -> None:
    day.pass_by(60, MAX_LAG)
    day.pass_by(2, 0.0)

    assert day.shedder.share == 0
    assert day.refused() == 0


def test_it_begins_anew_only_after_the_whole_interval(day: Day) -> None:
    day.pass_by(60, MAX_LAG)
    day.pass_by(2, 0.0)
    day.pass_by(PATIENCE * 0.9, MAX_LAG)

    assert day.refused() == 0


def test_of_requests_in_a_row_the_refused_ones_are_spread(day: Day) -> None:
    day.shedder.share = 0.25

    found = [day.shedder.refusal() is not None for _ in range(12)]

    assert found == [False, False, False, True] * 3


def test_a_lag_of_0_sheds_for_no_lag() -> None:
    day = Day(max_lag=0)
    day.pass_by(60, 5.0)

    assert day.refused() == 0


class Simulated:
    """A server that can do so many requests a second, and what waits for it."""

    def __init__(self, shedder: Shedder | None, capacity: float) -> None:
        self.shedder = shedder
        self.capacity = capacity
        self.waiting = 0.0  # seconds of work
        self.now = 0.0

    def serve(self, seconds: float, rate: int) -> float:
        """Serve so many requests a second; return the longest wait in the second half of it."""
        longest, ends, half = 0.0, self.now + seconds, self.now + seconds / 2
        while self.now < ends:
            self.now += 0.02
            if self.shedder is not None:
                self.shedder.heard(self.waiting, self.now)
            for _ in range(int(rate * 0.02)):
                if self.shedder is None or self.shedder.refusal() is None:
                    self.waiting += 1 / self.capacity
            if self.now > half:
                longest = max(longest, self.waiting)
            self.waiting = max(0.0, self.waiting - 0.02)
        return longest


@pytest.mark.parametrize("overload", [1.5, 3, 10])
def test_under_an_overload_that_stays_the_wait_is_bounded(overload: float) -> None:
    """Without shedding it grows for as long as the overload lasts."""
    rate = int(1000 * overload)
    shedder = Shedder(Book(), 10, MAX_LAG, PATIENCE)

    assert Simulated(None, 1000).serve(60, rate) > 10
    assert Simulated(shedder, 1000).serve(60, rate) < MAX_LAG * 10


def test_too_much_in_flight_refuses_whoever_comes_until_something_ends() -> None:
    streams = Streams(RecordingObserver())
    world = World(admission=Admission(Shedder(streams, 2, 0, 1.0)))
    token = world.sign()
    grant = world.ask("GET", "/reports", token=token)
    assert isinstance(grant, Grant)
    one, _ = (streams.registered(grant, StreamKind.HTTP, ignore) for _ in range(2))

    deny = world.ask("GET", "/reports", token="nonsense")
    assert isinstance(deny, Deny)
    assert deny.reason is DenyReason.OVERLOADED
    assert (deny.reason.http_status, deny.retry_after) == (503, 1)
    assert world.observer.decisions[-1][1] == deny

    one.leave()
    assert isinstance(world.ask("GET", "/reports", token=token), Grant)


def test_what_is_shed_costs_no_signature() -> None:
    """That is the point of it: a flood of bad tokens is refused before any is looked at."""
    world = World(admission=Admission(Shedder(Book(in_flight=9), 9, 0, 1.0)))

    for _ in range(3):
        assert isinstance(world.ask("GET", "/reports", token=world.sign()), Deny)

    assert len(world.remembered) == 0


def ignore(reason: CutReason) -> None:
    del reason
