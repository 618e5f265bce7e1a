"""The event loop's lag, and where it stands when it stands still."""

import asyncio
import logging
import threading

import pytest
from prometheus_client import CollectorRegistry
from typing_extensions import override

from sidecar.adapters.clock import SystemClock
from sidecar.observability.loop_watch import STALL_SECONDS, LoopWatch, StallLog, where
from tests.fakes.clock import FakeClock
from tests.fakes.waiting import until

SHORT = STALL_SECONDS / 5


class Heard(logging.Handler):
    """Keeps what is logged, from whatever thread, and says that something was."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self.spoken = threading.Event()

    @override
    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())
        self.spoken.set()


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture(autouse=True)
def _listening(heard: Heard) -> object:
    logger = logging.getLogger("sidecar.observability.loop_watch")
    logger.addHandler(heard)
    yield
    logger.removeHandler(heard)


def sample(registry: CollectorRegistry, name: str) -> float:
    return registry.get_sample_value(name) or 0.0


def test_the_lag_is_how_much_later_than_due_the_loop_ran() -> None:
    registry, clock = CollectorRegistry(), FakeClock()
    watch = LoopWatch(registry, clock)
    told: list[tuple[float, float]] = []

    with watch.heard(lambda lag, now: told.append((lag, now))):
        for late in (0.0, 0.003, 0.3):
            due = clock.steady()
            clock.advance(late)
            watch.ran(due)
    watch.ran(clock.steady())
    watch.lag.flush()

    assert [lag for lag, _ in told] == pytest.approx([0.0, 0.003, 0.3])
    assert told[-1][1] == clock.steady()
    assert sample(registry, "sidecar_loop_lag_seconds_sum") == pytest.approx(0.303)
    assert sample(registry, "sidecar_loop_stalls_total") == 1


async def test_a_loop_that_runs_is_measured_by_itself() -> None:
    registry = CollectorRegistry()
    watch = LoopWatch(registry, SystemClock())
    ticks: list[float] = []

    with watch.heard(lambda lag, _: ticks.append(lag)), watch.running():
        await until(lambda: len(ticks) >= 3)

    assert all(lag >= 0 for lag in ticks)
    assert "loop-watch" not in [thread.name for thread in threading.enumerate()]


async def test_where_a_loop_stands_still_is_written_down_while_it_does(heard: Heard) -> None:
    """The stall lasts until the line is there: without the watch it would not end."""
    watch = LoopWatch(CollectorRegistry(), SystemClock())
    secret = "eyJhbGciOiJSUzI1NiJ9.e30.c2ln"

    def parse_for_ever(token: str) -> bool:
        return bool(token) and heard.spoken.wait(20)

    with watch.running():
        done = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(lambda: done.set_result(parse_for_ever(secret)))
        assert await done

    (line,) = heard.lines
    assert "parse_for_ever (tests/observability/test_loop_watch.py:" in line
    assert secret not in line


def look(stall: StallLog, clock: FakeClock, last_ran: float, seconds: float) -> None:
    """Look as often as the thread does, for so long."""
    for _ in range(round(seconds / SHORT)):
        clock.advance(SHORT)
        stall.look(last_ran)


def test_a_stall_is_told_once_and_another_not_at_once(heard: Heard) -> None:
    clock = FakeClock()
    stall = StallLog(threading.get_ident(), clock)

    look(stall, clock, clock.steady(), 2.0)
    assert len(heard.lines) == 1
    look(stall, clock, clock.steady(), 2.0)
    assert len(heard.lines) == 1
    look(stall, clock, clock.steady() + 10.0, 10.0)
    assert len(heard.lines) == 1
    look(stall, clock, clock.steady(), 2.0)
    assert len(heard.lines) == 2


def test_a_loop_that_runs_is_not_told(heard: Heard) -> None:
    clock = FakeClock()
    stall = StallLog(threading.get_ident(), clock)
    for _ in range(100):
        clock.advance(SHORT)
        stall.look(clock.steady() - SHORT)

    assert heard.lines == []


def test_a_process_that_was_stopped_has_no_stall(heard: Heard) -> None:
    """D5: after SIGSTOP, or a suspended machine, it is nobody's fault."""
    clock = FakeClock()
    stall = StallLog(threading.get_ident(), clock)
    last_ran = clock.steady()
    clock.advance(60.0)

    stall.look(last_ran)

    assert heard.lines == []


def test_a_thread_that_has_ended_is_nowhere() -> None:
    assert list(where(0)) == []
