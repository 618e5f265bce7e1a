"""What callers have left of their budgets, from a worker that is relieved to its successor.

By a file in the workers' own directory, which the one writes when its successor serves already, and
the other waits for. Until then, and for what a kept connection asks of the old one after that, both
count for themselves. What is in flight is not handed on: nobody could give it back.
"""

import asyncio
import json
import logging
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

from sidecar.admission import Budgets
from sidecar.app.stopping import Stop
from sidecar.core.subject import SubjectKey
from sidecar.ports import Clock

log = logging.getLogger(__name__)

_POLL_SECONDS = 0.05
_AT_ONCE = 1000  # then others have their turn


class HandingOn:
    """The way from worker ``number`` of one generation to that of the next, for ``budgets``.

    The one before, if it hangs or has died, is waited for for ``patience`` seconds.
    """

    def __init__(
        self,
        budgets: Budgets,
        directory: Path,
        number: int,
        clock: Clock,
        patience: float = 60.0,
    ) -> None:
        self._budgets = budgets
        self._file = directory / f"budgets-{number}"
        self._clock = clock
        self._since = clock.steady()
        self._file_lock = asyncio.Lock()  # so that nothing is written in the middle of a read
        self._patience = patience

    async def give(self, stop: Stop) -> None:
        """Write down what callers have left, once this worker is relieved. Raises nothing."""
        await stop.asked.wait()
        if not stop.is_relieved or not len(self._budgets):
            return
        now = self._clock.steady()
        try:
            async with self._file_lock:
                await asyncio.to_thread(self._write, now, self._budgets.waits(now))
        except OSError as problem:
            log.warning("what callers have left is not handed on: %s", problem)

    async def take(self, stop: Stop) -> None:
        """Wait for what the worker before has to say, and go on from there. Raises nothing.

        Not once this one is to ``stop``: what is there then may be its own word, for the next.
        """
        try:
            async with asyncio.timeout(self._patience):
                while (written := await self._read_unless(stop)) is None:
                    if stop.asked.is_set():
                        return
                    await asyncio.sleep(_POLL_SECONDS)
        except (OSError, ValueError) as problem:  # of which TimeoutError is one
            log.warning("callers begin with full budgets: %r", problem)
            return
        callers = 0
        for name, waits in written["budgets"].items():
            for who, seconds in waits:
                now = self._clock.steady()
                # This clock is the system's, and the same in both processes.
                self._budgets.delay(name, _who(who), written["at"] + seconds - now, now)
                callers += 1
                if callers % _AT_ONCE == 0:
                    await asyncio.sleep(0)
        log.info("took over what is left of %d budgets", callers)

    async def _read_unless(self, stop: Stop) -> dict[str, Any] | None:
        if stop.asked.is_set():
            return None
        async with self._file_lock:
            return await asyncio.to_thread(self._read)

    def _write(self, now: float, budgets: Mapping[str, Mapping[Hashable, float]]) -> None:
        written = {
            name: [[_text(who), seconds] for who, seconds in waits.items()]
            for name, waits in budgets.items()
        }
        unfinished = self._file.with_suffix(".new")
        unfinished.write_text(json.dumps({"at": now, "budgets": written}), "utf-8")
        unfinished.replace(self._file)

    def _read(self) -> dict[str, Any] | None:
        """Return what the worker before has written, or None where it has not."""
        taken = self._file.with_suffix(".taken")
        try:
            self._file.replace(taken)
        except FileNotFoundError:
            return None
        written: dict[str, Any] = json.loads(taken.read_text("utf-8"))
        taken.unlink()
        # It is relieved once this one serves. What is older is the word of one before it, whose
        # successor died before it could read it.
        return written if written["at"] >= self._since else None


def _text(who: Hashable) -> list[str] | str:
    return [who.realm, who.subject] if isinstance(who, SubjectKey) else str(who)


def _who(text: Any) -> Hashable:
    return SubjectKey(*text) if isinstance(text, list) else str(text)
