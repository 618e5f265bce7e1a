"""How fast what was revoked here was over: from the command until no stream was left."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from sidecar.admin.desk import Desk, Row, Seen
from sidecar.core.subject import SubjectKey
from sidecar.ports import Clock

MOST_CUTS = 50
_PATIENCE_SECONDS = 2.0
_LOOK_SECONDS = 0.005
_SHOWN_SECONDS = 60.0
MOST_STREAMS = 100


@dataclass(frozen=True, slots=True)
class Measured:
    """A revocation at ``at`` (epoch seconds). ``streams`` were open before.

    ``seconds`` is None where streams were left, or a worker did not say whether it had any.
    """

    at: float
    who: str
    action: str
    key: SubjectKey
    streams: Sequence[Row]
    seconds: float | None


class Cuts:
    """Measures revocations, and remembers the latest."""

    def __init__(
        self, desk: Desk, clock: Clock, *, patience_seconds: float = _PATIENCE_SECONDS
    ) -> None:
        self._desk = desk
        self._clock = clock
        self._patience_seconds = patience_seconds
        self.latest: deque[Measured] = deque(maxlen=MOST_CUTS)

    async def measured(
        self, who: str, action: str, key: SubjectKey, revoke: Callable[[], Awaitable[object]]
    ) -> Measured:
        """Revoke, and see what is in flight end. Raises what ``revoke`` does."""
        before = await self._streams(key)
        at, began = self._clock.now(), self._clock.steady()
        await revoke()
        may_be_open = bool(before.rows or before.silent)
        seconds = await self._until_over(key, began) if may_be_open else 0.0
        found = Measured(at, who, action, key, before.rows, seconds)
        if before.rows:
            self.latest.appendleft(found)
        return found

    def ended(self, key: SubjectKey) -> list[Row]:
        """Return the subject's streams that were cut here a moment ago, with when they ended."""
        since = self._clock.now() - _SHOWN_SECONDS
        return [
            {**row, "ended": each.at + each.seconds}
            for each in self.latest
            if each.key == key and each.at >= since and each.seconds is not None
            for row in each.streams
        ]

    async def _until_over(self, key: SubjectKey, began: float) -> float | None:
        try:
            async with asyncio.timeout(self._patience_seconds):
                while True:
                    left = await self._streams(key)
                    # A worker that does not say what it has is not taken for one without streams.
                    if not (left.rows or left.silent):
                        break
                    await asyncio.sleep(_LOOK_SECONDS)
        except TimeoutError:
            return None
        return self._clock.steady() - began

    async def _streams(self, key: SubjectKey) -> Seen:
        return await self._desk.streams(key.realm, key.subject, MOST_STREAMS)
