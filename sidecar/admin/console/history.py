"""What the health page plots: the last minutes, looked at each second while anybody is signed in.

The age of the account view bounds what a revocation can take: while it is live, none was made
longer ago than that and is not in force. It is read off metrics that are up to 0.1 s old.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from sidecar.observability.scraped import Reading
from sidecar.ports import Clock

SECONDS = 300
_LOOK_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Sample:
    """One look, at ``at`` (epoch seconds). ``age`` is in seconds; None where nothing is proven.

    ``granted`` and ``denied`` are decisions a second since the look before.
    """

    at: float
    age: float | None
    granted: float
    denied: float


class History:
    """The latest samples. ``is_wanted`` says whether to look."""

    def __init__(
        self,
        reading: Callable[[], Reading],
        clock: Clock,
        is_wanted: Callable[[], bool],
        *,
        look_seconds: float = _LOOK_SECONDS,
    ) -> None:
        self._reading = reading
        self._clock = clock
        self._is_wanted = is_wanted
        self._look_seconds = look_seconds
        self._last: tuple[float, Reading] | None = None
        self.samples: deque[Sample] = deque(maxlen=SECONDS)

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            if self._is_wanted():
                self.look()
            elif self._last is not None:
                # A gap would make rates of it that never were.
                self._last = None
                self.samples.clear()
            await asyncio.sleep(self._look_seconds)

    def look(self) -> None:
        """Take a sample."""
        reading, at, steady = self._reading(), self._clock.now(), self._clock.steady()
        if self._last is not None:
            seconds = max(0.001, steady - self._last[0])
            before, now = self._last[1], reading
            self.samples.append(
                Sample(
                    at,
                    age_of(reading, at),
                    max(0.0, decided(now, "granted") - decided(before, "granted")) / seconds,
                    max(0.0, decided(now, "denied") - decided(before, "denied")) / seconds,
                )
            )
        self._last = (steady, reading)


def age_of(reading: Reading, now: float) -> float | None:
    """Return how old the account view is (seconds); None where it was never proven."""
    return max(0.0, now - reading.proven_at) if reading.proven_at else None


def decided(reading: Reading, outcome: str) -> float:
    """Return how many decisions had this outcome."""
    return sum(count for (each, _), count in reading.decisions.items() if each == outcome)
