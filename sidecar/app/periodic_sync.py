"""Syncing again and again, in whichever process leads.

Nothing is synced while the account view is not live: a store that was just found without some of
its writes is not written to before somebody has looked.
"""

import asyncio
import logging
import os
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from sidecar.account_sync import (
    AccountSync,
    IsSure,
    Leader,
    NotFetched,
    Outcome,
    SyncFailure,
    WantedSource,
)
from sidecar.cancelling import check_not_cancelled
from sidecar.core.account_plan import Plan, PlanRules
from sidecar.core.wanted_accounts import NotAccounts
from sidecar.observability.sync_metrics import SyncMetrics
from sidecar.ports import Clock, StatusUnavailable

log = logging.getLogger(__name__)

_POLL_SECONDS = 0.05
# What could not be asked is asked again sooner than an hour or a day later.
_RETRY_SECONDS = 30.0
_MOST_TOLD = 10


@dataclass(frozen=True, slots=True)
class SyncPolicy:
    """What to sync and when. ``every`` and ``beat``, at which leads are kept, are in seconds."""

    realm: str
    rules: PlanRules
    every: float
    beat: float


@dataclass(frozen=True, slots=True)
class Parts:
    """What it works with."""

    source: WantedSource
    sync: AccountSync
    leader: Leader
    metrics: SyncMetrics
    clock: Clock


class PeriodicSync:
    """The job.

    Args:
        policy: see there.
        parts: see there.
        is_sure: whether the store is known to be what it was.
        is_leaving: whether this process is about to end, or its settings are replaced.
    """

    def __init__(
        self,
        policy: SyncPolicy,
        parts: Parts,
        is_sure: IsSure,
        is_leaving: Callable[[], bool],
    ) -> None:
        self._policy = policy
        self._parts = parts
        self._is_sure = is_sure
        self._is_leaving = is_leaving
        self._leads = asyncio.Event()
        self._told: frozenset[str] = frozenset()
        self._trouble = ""

    async def run(self) -> None:
        """Run until cancelled. Raises nothing else."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._campaign())
                tasks.create_task(self._sync())
        finally:
            await self._parts.leader.resign()

    async def _campaign(self) -> None:
        leader = self._parts.leader
        while not self._is_leaving():
            await self._try_to_lead()
            self._note(leads=leader.is_leading())
            await asyncio.sleep(self._policy.beat)
        self._note(leads=False)
        await leader.resign()

    async def _try_to_lead(self) -> None:
        trouble = ""
        try:
            await self._parts.leader.campaign()
        except StatusUnavailable as problem:
            trouble = f"no lead can be won: {problem}"
        # Once: it lasts, such as a right in Redis that is missing.
        if trouble and trouble != self._trouble:
            self._failed(SyncFailure.STORE, trouble)
        self._trouble = trouble
        check_not_cancelled()

    def _note(self, *, leads: bool) -> None:
        if leads and not self._leads.is_set():
            log.info("process %d syncs the accounts from now on", os.getpid())
            self._leads.set()
        elif self._leads.is_set() and not leads:
            log.info("process %d leaves it to others to sync the accounts", os.getpid())
            self._leads.clear()

    async def _sync(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._leads.wait()
            if not (self._is_sure() and self._parts.leader.is_leading()):
                await asyncio.sleep(_POLL_SECONDS)
                continue
            began = loop.time()
            every = self._policy.every
            pause = every if await self.once() else min(every, _RETRY_SECONDS)
            check_not_cancelled()
            await asyncio.sleep(max(0.0, began + pause - loop.time()))

    async def once(self) -> bool:
        """Sync once; return whether gateway and store could be asked.

        What is wrong is logged and counted. Raises nothing but CancelledError.
        """
        parts, policy = self._parts, self._policy
        try:
            wanted = await parts.source.fetch()
            plan = await parts.sync.plan(policy.realm, wanted, policy.rules)
            if not self._is_sure():
                self._failed(SyncFailure.STORE, "the account view is not live")
                return False
            outcome = await parts.sync.carry_out(plan, self._is_sure)
        except NotFetched as failed:
            self._failed(failed.reason, failed.detail)
        except NotAccounts as problem:
            self._failed(SyncFailure.MALFORMED, str(problem))
        except StatusUnavailable as problem:
            self._failed(SyncFailure.STORE, str(problem))
        except Exception:
            log.exception("the sync failed; no account is changed by it any more")
            parts.metrics.failed(SyncFailure.INTERNAL)
        else:
            self._tell(plan, outcome)
            return True
        return False

    def _failed(self, reason: SyncFailure, detail: str) -> None:
        self._parts.metrics.failed(reason)
        log.warning("the accounts are not synced (%s): %s; none is changed", reason.value, detail)

    def _tell(self, plan: Plan, outcome: Outcome) -> None:
        metrics = self._parts.metrics
        metrics.changed(outcome.done)
        metrics.failed(SyncFailure.CHANGE, len(outcome.failed))
        metrics.failed(SyncFailure.UNHOLDABLE, len(plan.unholdable))
        if outcome.done:
            counts = Counter(step.kind.value for step in outcome.done)
            log.info("synced: %s", ", ".join(f"{n} x {kind}" for kind, n in counts.items()))
        if plan.withheld:
            metrics.failed(SyncFailure.TOO_MANY_VANISHED)
            log.error(
                "the gateway lists so few accounts that %d would be disabled at once; its list is"
                " not believed, and only what it disables by name is. If it is right, run `sidecar"
                " account sync --believe`, or raise sync.max_disabled_share",
                sum(1 for step in plan.withheld if step.has_vanished),
            )
        if not (plan.withheld or outcome.failed):
            metrics.synced(self._parts.clock.now())
        self._tell_once(
            [
                *(f"{each.step.subject!a} {each.step.kind}: {each.why}" for each in outcome.failed),
                *(f"{each.subject[:80]!a}: {each.why}" for each in plan.unholdable),
                *(
                    f"{subject!a} is active in the gateway and stays disabled here"
                    for subject in plan.held_shut
                ),
            ]
        )

    def _tell_once(self, notes: Iterable[str]) -> None:
        """Log what was not so the last time: most of it lasts, and would come each time."""
        now = frozenset(notes)
        new = sorted(now - self._told)
        for note in new[:_MOST_TOLD]:
            log.warning("sync: %s", note)
        if len(new) > _MOST_TOLD:
            log.warning("sync: and %d more such", len(new) - _MOST_TOLD)
        self._told = now
