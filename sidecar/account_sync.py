"""Bringing the stored accounts into step with a list of wanted ones: a gateway's, or a file's.

A plan is made of what is stored, and carried out by the use cases of ``service_accounts``: one
write and one audit record for each change. Others may write meanwhile, and each write is refused
that would go on top of theirs (``expected``); where they shut somebody out, they win.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum, unique
from typing import Protocol

from sidecar.core.account_plan import Kind, Plan, PlanRules, Step, make_plan
from sidecar.core.subject import AccountStatus, SubjectKey
from sidecar.core.wanted_accounts import WantedAccount
from sidecar.ports import (
    AccountExists,
    AccountNotFound,
    Contended,
    StatusUnavailable,
    Superseded,
)
from sidecar.service_accounts import BadAccount, ServiceAccounts

# One account's key may be broken; when so many in turn are not answered for, it is the store.
_GIVE_UP_AFTER = 3


@unique
class SyncFailure(StrEnum):
    """Why a sync, or a part of it, failed; the value is a metric label."""

    UNREACHABLE = "unreachable"
    TIMEOUT = "timeout"
    STATUS = "status"
    TOO_LARGE = "too_large"
    MALFORMED = "malformed"
    CREDENTIAL = "credential"
    STORE = "store"
    TOO_MANY_VANISHED = "too_many_vanished"
    UNHOLDABLE = "unholdable"
    CHANGE = "change"
    INTERNAL = "internal"


IsSure = Callable[[], bool]
"""Returns whether the store is known to be what it was."""


class NotFetched(Exception):
    """There is no list of wanted accounts; ``reason`` says in a word why, ``detail`` for the log.

    Nothing follows about any account.
    """

    def __init__(self, reason: SyncFailure, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail


class WantedSource(Protocol):
    """Where the list of wanted accounts is."""

    async def fetch(self) -> Sequence[WantedAccount]:
        """Return the whole list.

        Raises:
            NotFetched: in whatever way it failed.
        """
        ...


class Leader(Protocol):
    """Whether this process is the one that syncs, of all that could."""

    def is_leading(self) -> bool:
        """Say whether the lead that was last won or kept still lasts."""
        ...

    async def campaign(self) -> None:
        """Win the lead if nobody has it, or keep it.

        Raises:
            StatusUnavailable: the store did not answer; the lead lasts as long as it did before.
        """
        ...

    async def resign(self) -> None:
        """Leave the lead to others at once. Never raises: else it ends by itself."""
        ...


@dataclass(frozen=True, slots=True)
class Failure:
    """A step that was not carried out, and why."""

    step: Step
    why: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of the steps of a plan."""

    done: tuple[Step, ...] = ()
    failed: tuple[Failure, ...] = ()


class AccountSync:
    """The use cases."""

    def __init__(self, accounts: ServiceAccounts) -> None:
        self._accounts = accounts

    async def plan(self, realm: str, wanted: Sequence[WantedAccount], rules: PlanRules) -> Plan:
        """Return how to get from what is stored to ``wanted``. Changes nothing.

        Raises:
            NotAccounts: a subject is wanted twice.
            StatusUnavailable: the store did not answer.
        """
        stored = await self._accounts.list(realm)
        # Thousands of accounts take longer than a request may wait for the event loop.
        return await asyncio.to_thread(make_plan, realm, wanted, stored, rules)

    async def carry_out(self, plan: Plan, is_sure: IsSure = lambda: True) -> Outcome:
        """Make the changes, each by itself: one that fails does not keep the others from it.

        It ends when ``is_sure`` says that the store may not be what the plan was made of.
        """
        done: list[Step] = []
        failed: list[Failure] = []
        unanswered = 0
        for number, step in enumerate(plan.steps):
            if unanswered >= _GIVE_UP_AFTER or not is_sure():
                failed.extend(Failure(each, "not tried") for each in plan.steps[number:])
                break
            try:
                await self._carry_out(SubjectKey(plan.realm, step.subject), step)
            except (AccountExists, AccountNotFound):
                failed.append(Failure(step, "it came or went meanwhile"))
            except (BadAccount, Contended) as problem:
                failed.append(Failure(step, str(problem)))
            except StatusUnavailable as problem:
                unanswered += 1
                failed.append(Failure(step, f"{problem}; whether it was written is not known"))
            except Superseded as problem:
                failed.append(Failure(step, str(problem)))
                unanswered = _GIVE_UP_AFTER
            else:
                unanswered = 0
                done.append(step)
        return Outcome(tuple(done), tuple(failed))

    async def _carry_out(self, key: SubjectKey, step: Step) -> None:
        # What the plan does not change is left as it is by then, not as it was.
        before = step.before
        name = None if before is not None and step.name == before.name else step.name
        groups = None if before is not None and step.groups == before.groups else step.groups
        match step.kind:
            case Kind.ADD:
                active = step.status is AccountStatus.ACTIVE
                await self._accounts.create(key, name=step.name, groups=step.groups, active=active)
            case Kind.UPDATE:
                await self._accounts.update(key, name=name, groups=groups)
            case Kind.ENABLE:
                await self._accounts.update(key, name=name, groups=groups, active=True, seen=before)
            case Kind.DISABLE if name is None and groups is None:
                await self._accounts.disable(key)
            case Kind.DISABLE:
                await self._accounts.update(key, name=name, groups=groups, active=False)
            case Kind.DELETE:
                await self._accounts.delete(key)
