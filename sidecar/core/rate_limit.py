"""How much one caller may ask for: a token bucket, in whole numbers and without a timer."""

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from fractions import Fraction
from math import ceil

from typing_extensions import override

_NANOSECONDS = 10**9


@dataclass(frozen=True, slots=True)
class Limit:
    """What one caller may do: ``rate`` requests a second on average, ``burst`` of them at once.

    At most ``concurrent`` are in flight at one time. What is None is not limited. ``policy`` is
    what clients are told that it is called.
    """

    policy: str
    rate: Fraction | None = None
    burst: int = 1
    concurrent: int | None = None

    @property
    def window(self) -> int:
        """In how many seconds, rounded up, an empty budget is full again."""
        return 0 if self.rate is None else ceil(self.burst / self.rate)

    def shared_by(self, processes: int, *, rate: bool = True) -> "Limit":
        """Return what each of so many processes may let through, so that all keep the limit.

        Parts are rounded up: of one request at a time there is no half. Without ``rate`` that is
        left as it is, for those who tell each other what they have let through.
        """
        parts = processes if rate else 1
        return Limit(
            self.policy,
            None if self.rate is None else self.rate / parts,
            -(-self.burst // parts),
            None if self.concurrent is None else -(-self.concurrent // processes),
        )


@dataclass(frozen=True, slots=True)
class Exceeded:
    """What a client is told whose budget is used up: when to come back, in whole seconds.

    Its ``policy`` allows ``quota`` requests in ``window`` seconds; 0 says that it counts what is in
    flight, and then nobody knows when there is room.
    """

    policy: str
    quota: int
    window: int
    retry_after: int = 1


class Buckets:
    """A bucket of tokens for each caller: a request takes one, and they come back at ``rate``.

    Of a bucket only the moment is kept at which it will be full again; one that is full need not be
    kept at all. Time is counted in nanoseconds, times the rate's numerator: so every sum is exact,
    and no rounding adds up to a request more or less. At most ``most`` callers are remembered:
    whoever asked longest ago is forgotten, and begins anew with a full bucket.
    """

    def __init__(self, rate: Fraction, burst: int, most: int) -> None:
        self._ticks_of_nanosecond = rate.numerator
        self._token = _NANOSECONDS * rate.denominator
        self._capacity = burst * self._token
        self._most = most
        self._full_at: OrderedDict[Hashable, int] = OrderedDict()

    def __len__(self) -> int:
        return len(self._full_at)

    def take(self, who: Hashable, now: float) -> float:
        """Take a token; return 0, or the seconds until there is one. ``now`` is steady seconds."""
        ticks = self._ticks(now)
        full_at = max(self._full_at.get(who, 0), ticks) + self._token
        missing = full_at - ticks - self._capacity
        if missing > 0:
            return missing / (self._ticks_of_nanosecond * _NANOSECONDS)
        self._keep(who, full_at, ticks)
        return 0.0

    def delay(self, who: Hashable, seconds: float, now: float) -> None:
        """Let a bucket be full no sooner than in ``seconds``: others have taken out of it too."""
        ticks = self._ticks(now)
        full_at = ticks + self._ticks(seconds)
        if full_at > max(self._full_at.get(who, 0), ticks):
            self._keep(who, full_at, ticks)

    def waits(self, now: float) -> dict[Hashable, float]:
        """Return the seconds until it is full of each bucket that is not."""
        ticks, second = self._ticks(now), self._ticks_of_nanosecond * _NANOSECONDS
        return {
            who: (full_at - ticks) / second
            for who, full_at in self._full_at.items()
            if full_at > ticks
        }

    def _ticks(self, seconds: float) -> int:
        return int(seconds * _NANOSECONDS) * self._ticks_of_nanosecond

    def _keep(self, who: Hashable, full_at: int, ticks: int) -> None:
        kept = self._full_at
        kept[who] = full_at
        kept.move_to_end(who)
        # Two for each that comes: so those that are full do not pile up, and no turn gets long.
        for _ in range(2):
            oldest = next(iter(kept))
            if oldest == who or (kept[oldest] > ticks and len(kept) <= self._most):
                break
            del kept[oldest]


class SharedBuckets(Buckets):
    """Buckets out of which others take too, who are told now and then what was taken here.

    Of at most ``most`` callers in between; the rest is counted here alone.
    """

    def __init__(self, rate: Fraction, burst: int, most: int) -> None:
        super().__init__(rate, burst, most)
        self._taken: dict[Hashable, int] = {}

    @override
    def take(self, who: Hashable, now: float) -> float:
        seconds = super().take(who, now)
        before = self._taken.get(who)
        if before is not None or len(self._taken) < self._most:
            # Also who was refused: others may know better how long it has to wait.
            self._taken[who] = (before or 0) + (not seconds)
        return seconds

    def drain(self) -> dict[Hashable, int]:
        """Return how many tokens each caller took since this was last called."""
        taken, self._taken = self._taken, {}
        return taken
