"""The time that a request's head may take, from its first octet to its last.

Octets do not extend it: one each ten seconds would hold a connection for hours (slowloris).
"""

import asyncio
from collections.abc import Callable


class SlowHead(Exception):
    """A head did not end in time."""


class HeadWatch:
    """Runs from the beginning of a head to its end, and no longer than so many ``seconds``."""

    __slots__ = ("_seconds", "_timer")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, late: Callable[[], None]) -> None:
        """Hear that a part of a head has come; ``late`` is called if it takes too long."""
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self._seconds, self._is_late, late)

    def end(self) -> None:
        """Hear that a head has come whole, or that none is waited for."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _is_late(self, late: Callable[[], None]) -> None:
        self._timer = None
        late()
