"""How late the event loop is, and what keeps it when it stands still.

From within, a timer tells by how much it ran late: that is what each request waits, too. But a loop
that stands still runs no timer. So a thread looks on, and writes down where the loop's thread is
while it is there: files, lines and functions, and nothing of what they were called with.
"""

import asyncio
import logging
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Histogram

from sidecar.observability.tally import HistogramTally
from sidecar.ports import Clock

log = logging.getLogger(__name__)

STALL_SECONDS = 0.25
_TICK_SECONDS = 0.02
_LOOK_SECONDS = 0.05
_LOG_SECONDS = 10.0
_MOST_FRAMES = 30
_BUCKETS = (5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 5e-2, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)

Listener = Callable[[float, float], None]
"""Is told, every 20 ms, how many seconds the loop was late, and the time (steady seconds)."""


class LoopWatch:
    """Watches the loop in which it is started; one for each process."""

    def __init__(self, registry: CollectorRegistry, clock: Clock) -> None:
        self._clock = clock
        self._listeners: list[Listener] = []
        self._timer: asyncio.TimerHandle
        self.last_ran = 0.0
        lag = Histogram(
            "sidecar_loop_lag_seconds", "How late the event loop runs what is due.",
            buckets=_BUCKETS, registry=registry,
        )  # fmt: skip
        self.lag = HistogramTally(lag, _BUCKETS)
        self._stalls = Counter(
            "sidecar_loop_stalls", f"Times that the event loop was {STALL_SECONDS} s late or more.",
            registry=registry,
        )  # fmt: skip

    @contextmanager
    def heard(self, listener: Listener) -> Iterator[None]:
        """Tell ``listener`` of the lag for as long as the block lasts; it must not raise."""
        self._listeners.append(listener)
        try:
            yield
        finally:
            self._listeners.remove(listener)

    def ran(self, due: float) -> None:
        """Take that the loop has just run what was due then."""
        now = self.last_ran = self._clock.steady()
        lag = max(0.0, now - due)
        self.lag.observe(lag)
        if lag >= STALL_SECONDS:
            self._stalls.inc()
        for listener in self._listeners:
            listener(lag, now)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Watch the running loop until the block ends."""
        ended = threading.Event()
        self.last_ran = self._clock.steady()
        self._set_timer(asyncio.get_running_loop())
        look = StallLog(threading.get_ident(), self._clock)
        thread = threading.Thread(
            target=_look_on, args=(look, self, ended), name="loop-watch", daemon=True
        )
        thread.start()
        try:
            yield
        finally:
            self._timer.cancel()
            ended.set()
            thread.join()

    def _set_timer(self, loop: asyncio.AbstractEventLoop) -> None:
        due = self._clock.steady() + _TICK_SECONDS
        self._timer = loop.call_later(_TICK_SECONDS, self._tick, loop, due)

    def _tick(self, loop: asyncio.AbstractEventLoop, due: float) -> None:
        # First of all: nothing that fails below may end the watch.
        self._set_timer(loop)
        self.ran(due)


class StallLog:
    """Writes down where a thread stands that runs nothing; once for each time it does."""

    def __init__(self, thread: int, clock: Clock) -> None:
        self._thread = thread
        self._clock = clock
        self._looked_at = clock.steady()
        self._told_of: float | None = None
        self._silent_until = self._looked_at

    def look(self, last_ran: float) -> None:
        """Look once; ``last_ran`` is when the loop last ran anything, in steady seconds."""
        now, before = self._clock.steady(), self._looked_at
        self._looked_at = now
        if now - before > STALL_SECONDS:
            # This thread did not run either: the whole process stood still, or the machine did.
            return
        if now - last_ran < STALL_SECONDS or last_ran == self._told_of or now < self._silent_until:
            return
        self._told_of, self._silent_until = last_ran, now + _LOG_SECONDS
        log.warning(
            "the event loop has stood still for %.0f ms, in: %s",
            (now - last_ran) * 1000,
            " < ".join(where(self._thread)) or "a thread that has ended",
        )


def where(thread: int) -> Iterator[str]:
    """Yield what a thread is doing, the innermost call first: function, file and line."""
    frame = sys._current_frames().get(thread)  # noqa: SLF001 - as faulthandler does, to our own log
    if frame is None:
        return
    stack = traceback.StackSummary.extract(
        traceback.walk_stack(frame), limit=_MOST_FRAMES, lookup_lines=False
    )
    for each in stack:
        yield f"{each.name} ({'/'.join(Path(each.filename).parts[-3:])}:{each.lineno})"


def _look_on(look: StallLog, watch: LoopWatch, ended: threading.Event) -> None:
    while not ended.wait(_LOOK_SECONDS):
        look.look(watch.last_ran)
