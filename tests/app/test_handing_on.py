"""What callers have left goes from one worker to the next."""

import asyncio
from fractions import Fraction
from pathlib import Path

import pytest

from sidecar.admission import Budgets, Limiter, LimitRules
from sidecar.app.handing_on import HandingOn
from sidecar.app.stopping import Stop
from sidecar.core.rate_limit import Buckets, Limit
from sidecar.core.subject import SubjectKey
from tests.fakes.clock import FakeClock
from tests.fakes.waiting import until

ROBOT = SubjectKey("corp", "robot")
NETWORK = "192.0.2.7"
ONE_IN_TEN_SECONDS = Limit("account", Fraction(1, 10), 1)


class Worker:
    """Has one limit, for accounts."""

    def __init__(
        self, directory: Path, clock: FakeClock, limit: Limit | None, patience: float = 30.0
    ) -> None:
        self.budgets = Budgets()
        rules = LimitRules() if limit is None else LimitRules(limit)
        self.limiter = Limiter(rules, self.budgets)
        self.way = HandingOn(self.budgets, directory, 0, clock, patience)

    @property
    def buckets(self) -> Buckets:
        buckets = next(iter(self.limiter.budgets)).buckets
        assert buckets is not None
        return buckets


def files_in(directory: Path) -> list[Path]:
    return list(directory.iterdir())


async def give(worker: Worker) -> None:
    stop = Stop()
    stop.relieve()
    await worker.way.give(stop)


async def test_a_successor_goes_on_from_what_is_left(tmp_path: Path) -> None:
    clock = FakeClock()
    before = Worker(tmp_path, clock, ONE_IN_TEN_SECONDS)
    after = Worker(tmp_path, clock, ONE_IN_TEN_SECONDS)
    for who in (ROBOT, NETWORK):
        assert before.buckets.take(who, clock.steady()) == 0
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(after.way.take(Stop()))
        await give(before)

    clock.advance(4.0)
    assert after.buckets.take(ROBOT, clock.steady()) == 6
    assert after.buckets.take(NETWORK, clock.steady()) == 6
    assert after.buckets.take("another", clock.steady()) == 0


async def test_the_time_until_it_is_read_counts(tmp_path: Path) -> None:
    clock = FakeClock()
    before = Worker(tmp_path, clock, ONE_IN_TEN_SECONDS)
    after = Worker(tmp_path, clock, ONE_IN_TEN_SECONDS)
    before.buckets.take(ROBOT, clock.steady())
    await give(before)
    clock.advance(10.0)
    await after.way.take(Stop())

    assert after.buckets.take(ROBOT, clock.steady()) == 0


@pytest.mark.parametrize(
    "limit", [None, Limit("account", Fraction(1, 10), 2)], ids=["none", "another"]
)
async def test_on_other_terms_nothing_is_taken_over(tmp_path: Path, limit: Limit | None) -> None:
    clock = FakeClock()
    before = Worker(tmp_path, clock, ONE_IN_TEN_SECONDS)
    after = Worker(tmp_path, clock, limit)
    before.buckets.take(ROBOT, clock.steady())
    await give(before)
    await after.way.take(Stop())

    assert not any(after.budgets.waits(clock.steady()).values())
    assert files_in(tmp_path) == []


async def test_a_worker_that_is_not_relieved_has_nobody_to_give_to(tmp_path: Path) -> None:
    worker, stop = Worker(tmp_path, FakeClock(), ONE_IN_TEN_SECONDS), Stop()
    stop.asked.set()
    await worker.way.give(stop)

    assert files_in(tmp_path) == []


async def test_what_nobody_took_is_not_taken_for_the_word_of_a_later_worker(
    tmp_path: Path,
) -> None:
    """A successor that dies before it reads leaves it there, for the one after its own."""
    clock = FakeClock()
    first, second = (Worker(tmp_path, clock, ONE_IN_TEN_SECONDS) for _ in range(2))
    await give(first)
    clock.advance(60.0)
    third = Worker(tmp_path, clock, ONE_IN_TEN_SECONDS)
    second.buckets.take(ROBOT, clock.steady())
    async with asyncio.TaskGroup() as tasks:
        taking = tasks.create_task(third.way.take(Stop()))
        await until(lambda: not files_in(tmp_path) or taking.done())
        await give(second)

    assert third.buckets.take(ROBOT, clock.steady()) == 10
    assert files_in(tmp_path) == []


async def test_a_worker_that_is_relieved_while_it_waits_does_not_take_its_own_word(
    tmp_path: Path,
) -> None:
    clock = FakeClock()
    second, third = (Worker(tmp_path, clock, ONE_IN_TEN_SECONDS) for _ in range(2))
    second.buckets.take(ROBOT, clock.steady())
    stop = Stop()
    stop.relieve()
    await second.way.give(stop)
    await second.way.take(stop)
    await third.way.take(Stop())

    assert third.buckets.take(ROBOT, clock.steady()) == 10


async def test_a_worker_that_says_nothing_is_not_waited_for_for_ever(tmp_path: Path) -> None:
    worker = Worker(tmp_path, FakeClock(), ONE_IN_TEN_SECONDS, patience=0.01)

    await asyncio.wait_for(worker.way.take(Stop()), 5)


async def test_a_directory_that_has_gone_ends_no_worker(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await give(Worker(tmp_path / "gone", FakeClock(), ONE_IN_TEN_SECONDS))

    assert "not handed on" in caplog.text
