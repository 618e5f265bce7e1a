"""Writes down which accounts were used: in the background, in batches, now and then.

Nothing waits for it and no decision rests on it. What cannot be written is kept for the next time,
beside what is used meanwhile: twice ``accounts.max_subjects`` accounts at most. It is told once in
the log, in the metrics each time.

A batch is small because it is made in the event loop, at some 35 us of CPU an account: 1 ms, and
between two batches requests have their turns.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from prometheus_client import CollectorRegistry, Counter

from sidecar.core.last_use import LastUse
from sidecar.core.subject import SubjectKey
from sidecar.observability.recent_use import RecentUse, Use
from sidecar.ports import Clock, StatusUnavailable

log = logging.getLogger(__name__)

_BATCH = 25
_LAST_SECONDS = 2.0

Used = Mapping[SubjectKey, LastUse]


class UseStore(Protocol):
    """Where it is written."""

    async def add(self, realm: str, used: Used, now: float) -> None:
        """Add what was used of a realm; what nobody used begins to count ``now`` (epoch seconds).

        Raises:
            StatusUnavailable: it may not have been added.
        """


class LastUseMetrics:
    """Counts how the writing goes."""

    def __init__(self, registry: CollectorRegistry) -> None:
        writes = Counter(
            "sidecar_last_use_writes", "Batches of used accounts that were to be written.",
            ("outcome",), registry=registry,
        )  # fmt: skip
        self.written, self.failed = writes.labels("written"), writes.labels("failed")
        self.lost = Counter(
            "sidecar_last_use_lost", "Uses of accounts that will never be written.",
            registry=registry,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class WritePolicy:
    """The realms there are, and how many seconds pass between two writes."""

    realms: frozenset[str]
    every: float
    last_seconds: float = _LAST_SECONDS


class LastUseWriter:
    """Takes from ``recent``, adds to ``store``. ``run`` does it until cancelled."""

    def __init__(
        self,
        recent: RecentUse,
        store: UseStore,
        policy: WritePolicy,
        metrics: LastUseMetrics,
        clock: Clock,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._recent = recent
        self._store = store
        self._policy = policy
        self._metrics = metrics
        self._clock = clock
        self._sleep = sleep
        self._pending: dict[SubjectKey, Use] = {}
        self._is_failing = False
        self._under_way: asyncio.Task[bool] | None = None

    async def run(self) -> None:
        """Write until cancelled, then what is left, within ``last_seconds``."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                # In a task that is not cancelled with this one: a write that is broken off is
                # perhaps done, would be repeated, and count twice.
                self._under_way = loop.create_task(self._write())
                await asyncio.shield(self._under_way)
                await self._sleep(self._policy.every)
        finally:
            await self._write_the_rest()

    async def _write_the_rest(self) -> None:
        try:
            async with asyncio.timeout(self._policy.last_seconds):
                # What fails now may have failed by the deadline, and has no time left.
                if self._under_way is None or self._under_way.done() or await self._under_way:
                    await self._write()
        except TimeoutError:
            pass
        left = [*self._pending.values(), *self._recent.take().values()]
        self._recent.lost += sum(use.uses for use in left)
        self._count_lost()
        if left:
            log.warning("the accounts' last use could not be written and is lost: %d", len(left))

    async def _write(self) -> bool:
        """Write what there is; return whether that was possible."""
        try:
            for realm in self._policy.realms:
                await self._add(realm, {})  # so that its recording begins
            await self._write_pending()  # what was left the last time
            self._pending = self._recent.take()
            await self._write_pending()
        except StatusUnavailable as problem:
            self._failed(str(problem))
        except Exception:
            log.exception("a defect of the writing of last use; the requests go on")
            self._failed("see above")
        else:
            if self._is_failing:
                log.info("the accounts' last use is written again")
            self._is_failing = False
            return True
        finally:
            self._count_lost()
        return False

    async def _write_pending(self) -> None:
        while self._pending:
            batch = dict(self._pending.popitem() for _ in range(min(_BATCH, len(self._pending))))
            try:
                await self._write_batch(batch)
            finally:
                # Also where this was cancelled. What was written and not confirmed counts twice.
                self._pending.update(batch)

    async def _write_batch(self, batch: dict[SubjectKey, Use]) -> None:
        """Write it and take out what is confirmed."""
        by_realm: dict[str, dict[SubjectKey, LastUse]] = defaultdict(dict)
        for key, use in batch.items():
            by_realm[key.realm][key] = LastUse(use.last_seen, use.uses)
        for realm, used in by_realm.items():
            await self._add(realm, used)
            for key in used:
                del batch[key]

    async def _add(self, realm: str, used: Used) -> None:
        await self._store.add(realm, used, self._clock.now())
        self._metrics.written.inc()

    def _failed(self, why: str) -> None:
        self._metrics.failed.inc()
        if not self._is_failing:
            log.warning("the accounts' last use cannot be written, and is kept: %s", why)
        self._is_failing = True

    def _count_lost(self) -> None:
        lost, self._recent.lost = self._recent.lost, 0
        self._metrics.lost.inc(lost)
