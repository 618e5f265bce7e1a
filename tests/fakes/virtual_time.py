"""An event loop in which time passes only when nothing else can happen, and a world beside it."""

import asyncio
import heapq
import itertools
import selectors
from collections.abc import Callable
from typing import Any

from typing_extensions import override


class World:
    """What happens outside the process, each thing at its time, whether the process runs or not."""

    def __init__(self) -> None:
        self.now = 1000.0
        self._order = itertools.count()
        self._coming: list[tuple[float, int, Callable[[], None]]] = []

    def at(self, moment: float, happen: Callable[[], None]) -> None:
        heapq.heappush(self._coming, (max(moment, self.now), next(self._order), happen))

    def next(self) -> float | None:
        return self._coming[0][0] if self._coming else None

    def run_until(self, moment: float) -> None:
        """Let everything happen that is due by then, in order, and arrive there."""
        while self._coming and self._coming[0][0] <= moment:
            self.now, _, happen = heapq.heappop(self._coming)
            happen()
        self.now = max(self.now, moment)


class _NoWaiting(selectors.SelectSelector):
    def __init__(self, loop: "VirtualLoop") -> None:
        super().__init__()
        self._loop = loop

    @override
    def select(self, timeout: float | None = None) -> list[Any]:
        self._loop.pass_time(timeout)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """Runs on the world's time. ``look`` is called whenever the process has nothing left to do."""

    def __init__(self) -> None:
        self.world = World()
        self._time = self.world.now
        self.look: Callable[[], None] = lambda: None
        super().__init__(_NoWaiting(self))

    @override
    def time(self) -> float:
        return self._time

    def pass_time(self, timeout: float | None) -> None:
        self.look()
        target = None if timeout is None else self._time + max(0.0, timeout)
        coming = self.world.next()
        if coming is not None and (target is None or coming <= target):
            target = max(coming, self._time)
        if target is None:
            raise RuntimeError("everybody waits for something that never comes")
        self.world.run_until(target)
        self._time = target

    def pause(self, seconds: float) -> None:
        """Stop the process for so long, as SIGSTOP or a suspended machine does; the world goes on.

        What arrived meanwhile waits in the socket, and every timer is late.
        """
        target = self._time + seconds
        self.world.run_until(target)
        self._time = target
        self.look()
