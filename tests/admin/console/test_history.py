"""What is plotted of the last minutes."""

from sidecar.admin.console.history import SECONDS, History, Sample, age_of
from sidecar.app.running import running
from sidecar.observability.scraped import Reading
from tests.fakes.clock import FakeClock
from tests.fakes.waiting import until


class Case:
    def __init__(self) -> None:
        self.clock = FakeClock(1000.0)
        self.reading = Reading()
        self.is_wanted = True
        self.history = History(
            lambda: self.reading, self.clock, lambda: self.is_wanted, look_seconds=0.001
        )

    def look(self, granted: float, denied: float = 0.0, proven_at: float = 0.0) -> None:
        decisions = {("granted", ""): granted, ("denied", "no_route"): denied}
        self.reading = Reading(decisions=decisions, proven_at=proven_at)
        self.history.look()
        self.clock.advance(2)


def test_rates_are_of_what_came_since_the_look_before() -> None:
    case = Case()
    case.look(10, 1)
    case.look(30, 5, proven_at=1001.75)

    assert list(case.history.samples) == [Sample(1002.0, 0.25, 10.0, 2.0)]


def test_counters_that_begin_anew_and_clocks_that_step_make_nothing_negative() -> None:
    case = Case()
    case.look(10)
    case.look(3, proven_at=9999.0)

    assert list(case.history.samples) == [Sample(1002.0, 0.0, 0.0, 0.0)]
    assert age_of(Reading(), 5.0) is None


def test_five_minutes_are_kept() -> None:
    case = Case()
    for count in range(SECONDS + 10):
        case.look(count)

    assert len(case.history.samples) == SECONDS


async def test_nothing_is_looked_at_while_nobody_is_signed_in_and_gaps_are_forgotten() -> None:
    case = Case()
    async with running(case.history.run):
        await until(lambda: len(case.history.samples) > 2)
        case.is_wanted = False
        await until(lambda: not case.history.samples)
