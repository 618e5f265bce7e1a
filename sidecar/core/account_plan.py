"""What to change so that the stored accounts become the wanted ones.

Whatever shuts somebody out comes through: a disabling by name always, that of who is merely gone
unless too many are. Whatever lets somebody in again does not, unless it was asked for: who was
disabled in our store may have been for a reason that the other side does not know.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum, unique
from typing import assert_never

from sidecar.core.subject import Account, AccountStatus, is_group, is_name, is_subject
from sidecar.core.wanted_accounts import NotAccounts, WantedAccount

# So many may go at once, however few there are: a share of three accounts says nothing.
ALWAYS_VANISH = 5


@unique
class Kind(StrEnum):
    """What a step does; the value is a metric label."""

    ADD = "add"
    UPDATE = "update"
    ENABLE = "enable"
    DISABLE = "disable"
    DELETE = "delete"


@unique
class Vanished(StrEnum):
    """What becomes of a stored account that is not among the wanted ones."""

    KEEP = "keep"
    DISABLE = "disable"
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class PlanRules:
    """How far a plan may go.

    ``reenable`` enables again what is wanted active. ``max_vanished_share`` is the part of the
    active accounts that may vanish at once (``ALWAYS_VANISH`` may in any case); 1 is everybody.
    """

    vanished: Vanished = Vanished.KEEP
    reenable: bool = False
    max_vanished_share: float = 1.0


@dataclass(frozen=True, slots=True)
class Step:
    """One change. ``before`` is what was stored, None for a new account; the rest is to be."""

    kind: Kind
    subject: str
    before: Account | None
    name: str
    groups: tuple[str, ...]
    status: AccountStatus
    has_vanished: bool = False


@dataclass(frozen=True, slots=True)
class Unholdable:
    """Something of a wanted account that our store cannot hold, and what becomes of it."""

    subject: str
    why: str


@dataclass(frozen=True, slots=True)
class Plan:
    """The changes in the order in which they are to be made, and what is not going to change.

    Attributes:
        kept: how many stored accounts stay as they are.
        held_shut: subjects that are wanted active and stay inactive, for nobody asked to enable.
        withheld: changes that are not to be made, because too many accounts would vanish.
    """

    realm: str
    steps: tuple[Step, ...] = ()
    kept: int = 0
    held_shut: tuple[str, ...] = ()
    unholdable: tuple[Unholdable, ...] = ()
    withheld: tuple[Step, ...] = ()


_ORDER = (Kind.DISABLE, Kind.DELETE, Kind.UPDATE, Kind.ADD, Kind.ENABLE)


def make_plan(
    realm: str, wanted: Sequence[WantedAccount], stored: Sequence[Account], rules: PlanRules
) -> Plan:
    """Return how to get from ``stored``, all accounts of the realm, to ``wanted``.

    Raises:
        NotAccounts: a subject is wanted twice, so nobody knows how.
    """
    _check_unique(wanted)
    found = {account.subject: account for account in stored}
    unholdable: list[Unholdable] = []
    held_shut: list[str] = []
    steps: list[Step] = []
    for each in wanted:
        before = found.get(each.subject)
        holdable = _held(each, unholdable) if is_subject(each.subject) else None
        if holdable is None:
            unholdable.append(Unholdable(each.subject, "no subject that can be held: left out"))
        step = _named_step(holdable, each, before, rules)
        if step is not None:
            steps.append(step)
        if _is_held_shut(each, before) and not rules.reenable:
            held_shut.append(each.subject)
    named = {each.subject for each in wanted}
    vanished = [account for account in stored if account.subject not in named]
    steps.extend(_vanishing_steps(vanished, rules.vanished))
    # Deny early, grant late.
    steps.sort(key=lambda s: (s.status is AccountStatus.ACTIVE, _ORDER.index(s.kind), s.subject))
    kept = len(found.keys() - {step.subject for step in steps})
    plan = Plan(realm, tuple(steps), kept, tuple(held_shut), tuple(unholdable))
    return _withholding(plan, found, rules, nobody=not wanted)


def _check_unique(wanted: Sequence[WantedAccount]) -> None:
    counts = Counter(each.subject for each in wanted)
    twice = sorted(subject for subject, count in counts.items() if count > 1)
    if twice:
        raise NotAccounts(f"{twice[0][:40]!a} is there twice")


def _held(wanted: WantedAccount, unholdable: list[Unholdable]) -> WantedAccount:
    """Return what of it can be held. What is left out grants less, never more."""
    for group in wanted.groups:
        if not is_group(group):
            why = f"{group[:40]!a} is no group that can be held: left out"
            unholdable.append(Unholdable(wanted.subject, why))
    name = wanted.name
    if not is_name(name):
        unholdable.append(Unholdable(wanted.subject, "no name that can be held: left out"))
        name = ""
    groups = tuple(group for group in wanted.groups if is_group(group))
    return WantedAccount(wanted.subject, name, groups, wanted.status)


def _named_step(
    holdable: WantedAccount | None, wanted: WantedAccount, before: Account | None, rules: PlanRules
) -> Step | None:
    if before is None:
        if holdable is None:
            return None
        return Step(Kind.ADD, wanted.subject, None, holdable.name, holdable.groups, holdable.status)
    if before.held:
        # Whoever holds it goes on from what it was; the next plan finds what became of it.
        return None
    is_in = before.is_active and wanted.is_active
    if not before.is_active and wanted.is_active and rules.reenable:
        is_in = holdable is not None
    status = AccountStatus.ACTIVE if is_in else AccountStatus.INACTIVE
    name, groups = before.name, before.groups
    if holdable is not None:
        name = holdable.name or name
        # The gateway lists them in no order, so another order is no change.
        groups = groups if set(groups) == set(holdable.groups) else holdable.groups
    if (name, groups, status) == (before.name, before.groups, before.status):
        return None
    return Step(_kind(before.status, status), wanted.subject, before, name, groups, status)


def _kind(before: AccountStatus, after: AccountStatus) -> Kind:
    if before is after:
        return Kind.UPDATE
    return Kind.ENABLE if after is AccountStatus.ACTIVE else Kind.DISABLE


def _is_held_shut(wanted: WantedAccount, before: Account | None) -> bool:
    return before is not None and wanted.is_active and not (before.is_active or before.held)


def _vanishing_steps(vanished: Sequence[Account], fate: Vanished) -> list[Step]:
    match fate:
        case Vanished.KEEP:
            return []
        case Vanished.DISABLE:
            return [_vanishing(Kind.DISABLE, each) for each in vanished if each.is_active]
        case Vanished.DELETE:
            return [_vanishing(Kind.DELETE, each) for each in vanished]
        case _:
            assert_never(fate)


def _vanishing(kind: Kind, account: Account) -> Step:
    return Step(
        kind,
        account.subject,
        account,
        account.name,
        account.groups,
        AccountStatus.INACTIVE,
        has_vanished=True,
    )


def _withholding(
    plan: Plan, found: Mapping[str, Account], rules: PlanRules, *, nobody: bool
) -> Plan:
    """Return the plan, or of one that shuts out too many only what it disables by name.

    An error page, an empty answer or the list of another gateway would shut out everybody. Such a
    list is not believed, except where being wrong lets nobody in.
    """
    going = sum(1 for step in plan.steps if step.has_vanished and _was_active(step))
    active = sum(1 for account in found.values() if account.is_active)
    few = max(ALWAYS_VANISH, rules.max_vanished_share * active)
    if rules.max_vanished_share >= 1 or (going <= few and not (nobody and going)):
        return plan
    by_name = tuple(step for step in plan.steps if _shuts_out_by_name(step))
    return Plan(
        plan.realm,
        by_name,
        len(found.keys() - {step.subject for step in by_name}),
        plan.held_shut,
        plan.unholdable,
        tuple(step for step in plan.steps if not _shuts_out_by_name(step)),
    )


def _was_active(step: Step) -> bool:
    return step.before is not None and step.before.is_active


def _shuts_out_by_name(step: Step) -> bool:
    # An inactive account shuts out where a route forwards the unregistered.
    return step.kind in (Kind.DISABLE, Kind.ADD) and not (
        step.has_vanished or step.status is AccountStatus.ACTIVE
    )
