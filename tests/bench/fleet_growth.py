"""What each thing costs Redis, also at a number of connections that was not measured.

With the connections grows what the server has to fetch from memory for each, so a command costs
more, until hardly anything of a connection is found in a cache. Between two measured numbers a cost
is taken to grow as a power of the number: a straight line on logarithmic paper. Beyond the last it
stays, which ``bench-fleet`` holds against what it would be if it went on growing.
"""

import math
from bisect import bisect_left
from dataclasses import dataclass, fields, replace

from sidecar.adapters.view_policy import ViewPolicy

_MOST = 20_000


@dataclass(frozen=True, slots=True)
class Costs:
    """What the main thread of Redis computes for one of each."""

    turn: float
    ping: float
    role: float
    revision: float
    read: float
    push: float
    accept: float
    hello: float
    tracking: float
    config: float
    write: float

    @property
    def handshake(self) -> float:
        """From a connection that comes until its view can be proven."""
        greeted = self.accept + self.hello + self.tracking + self.role
        return greeted + self.revision + self.config + 2 * self.ping


def _on_the_line(low: tuple[int, float], high: tuple[int, float], number: int) -> float:
    if low[1] <= 0 or high[1] <= low[1]:
        return max(low[1], high[1])  # noise: more connections make nothing cheaper
    power = math.log(high[1] / low[1]) / math.log(high[0] / low[0])
    return high[1] * math.pow(number / high[0], power)


@dataclass(frozen=True, slots=True)
class Growth:
    """Costs measured at numbers of connections, the smallest first."""

    measured: tuple[tuple[int, Costs], ...]

    def at(self, number: int) -> Costs:
        """Return the costs at ``number``; outside what was measured they are as at its edge."""
        numbers = [each for each, _ in self.measured]
        if number <= numbers[0]:
            return self.measured[0][1]
        if number >= numbers[-1]:
            return self._from_two(len(numbers) - 1, numbers[-1])
        return self._from_two(bisect_left(numbers, number), number)

    def before(self, number: int) -> "Growth":
        """Return only what was measured with fewer connections."""
        return Growth(tuple(each for each in self.measured if each[0] < number))

    def further(self, number: int) -> Costs:
        """Return what the costs beyond the last measured number are if they go on growing."""
        return self._from_two(len(self.measured) - 1, number)

    def _from_two(self, right: int, number: int) -> Costs:
        (less, low), (more, high) = self.measured[max(0, right - 1)], self.measured[right]
        names = [each.name for each in fields(Costs)]
        grown = {
            name: _on_the_line((less, getattr(low, name)), (more, getattr(high, name)), number)
            for name in names
        }
        # What a turn costs by itself is the same for any number; only the smallest shows it.
        return replace(Costs(**grown), turn=self.measured[0][1].turn)


def demand(views: int, costs: Costs, policy: ViewPolicy) -> float:
    """Return the share of a core that the beats of a fleet ask for; 1 and more is not to be had."""
    return views * (costs.ping / policy.heartbeat + 4 * costs.role / policy.max_staleness)


def spread(views: int, costs: Costs) -> float:
    """Return seconds until the push of a write has been written to the last of the views."""
    return costs.write + views * costs.push


def first_above(growth: Growth, bound: float, policy: ViewPolicy | None = None) -> int:
    """Return how many views it takes for ``demand`` to be above; without a policy ``spread``.

    20,000 stands for that many and more.
    """
    low, high = 0, _MOST
    while high - low > 1:
        middle = (low + high) // 2
        costs = growth.at(middle)
        amount = spread(middle, costs) if policy is None else demand(middle, costs, policy)
        low, high = (low, middle) if amount > bound else (middle, high)
    return high
