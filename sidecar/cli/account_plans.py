"""Plans of account changes on the command line: made, shown, carried out."""

import json
from collections.abc import Awaitable, Callable, Sequence

import typer
from rich.console import Console
from rich.table import Table

from sidecar import app
from sidecar.account_sync import AccountSync, NotFetched, Outcome
from sidecar.adapters.clock import SystemClock
from sidecar.cli.common import Audit, actor, plain, stop, wait_for
from sidecar.core.account_plan import Kind, Plan, PlanRules, Step
from sidecar.core.wanted_accounts import NotAccounts, WantedAccount
from sidecar.ports import AccountStore, Auditor
from sidecar.service_accounts import ServiceAccounts
from sidecar.settings import Settings

Fetch = Callable[[], Awaitable[Sequence[WantedAccount]]]

_COLOURS = {
    Kind.ADD: "green",
    Kind.ENABLE: "green",
    Kind.UPDATE: "yellow",
    Kind.DISABLE: "red",
    Kind.DELETE: "red",
}


def make_plan(settings: Settings, realm: str, fetch: Fetch, rules: PlanRules) -> Plan:
    """Return the plan. Ends the process with 2 for a bad list, 3 where one cannot be had."""

    async def plan() -> Plan:
        wanted = await fetch()
        async with app.open_store(settings) as store:
            return await _sync(store, Audit()).plan(realm, wanted, rules)

    async def plan_or_stop() -> Plan:
        try:
            return await plan()
        except NotFetched as failed:
            stop(f"the gateway's accounts cannot be had: {failed.detail}", 3)
        except NotAccounts as problem:
            stop(f"these are no accounts: {problem}", 2)

    return wait_for(plan_or_stop(), settings)


def carry_out(settings: Settings, plan: Plan) -> Outcome:
    """Carry the plan out. Ends the process with 3 where the store cannot be opened."""

    async def perform() -> Outcome:
        async with app.open_store(settings) as store, app.open_audit(settings, Audit()) as audit:
            return await _sync(store, audit).carry_out(plan)

    return wait_for(perform(), settings, writes=True) if plan.steps else Outcome()


def finish(plan: Plan, outcome: Outcome | None, *, as_json: bool) -> None:
    """Say what was done, and end the process with 1 unless that was all; None: nothing was."""
    if as_json:
        typer.echo(json.dumps(_members(plan, outcome), indent=2))
    elif outcome is None:
        typer.echo(f"{len(plan.steps)} to change, {plan.kept} kept; nothing was changed")
    else:
        typer.echo(f"{len(outcome.done)} of {len(plan.steps)} changed, {plan.kept} kept")
    failed = () if outcome is None else outcome.failed
    for each in failed:
        typer.echo(f"{each.step.subject!a} {each.step.kind}: {each.why}", err=True)
    if failed or plan.withheld or plan.unholdable:
        raise typer.Exit(1)


def show(plan: Plan, *, as_json: bool) -> None:
    """Print the difference as a table, and on stderr what is not going to change."""
    if not as_json and plan.steps:
        table = Table("CHANGE", "SUBJECT", "STATUS", "GROUPS", "NAME", box=None)
        for step in plan.steps:
            colour = _COLOURS[step.kind]
            table.add_row(f"[{colour}]{step.kind}[/{colour}]", *map(plain, _cells(step)))
        Console().print(table)
    for each in plan.unholdable:
        typer.echo(f"{each.subject[:80]!a}: {each.why}", err=True)
    for subject in plan.held_shut:
        typer.echo(f"{subject!a} stays disabled, as it is here; --reenable enables it", err=True)
    if plan.withheld:
        vanishing = sum(1 for step in plan.withheld if step.has_vanished)
        typer.echo(
            f"{vanishing} accounts are not listed any more, which is more than"
            " sync.max_disabled_share: the list is not believed, and only what it disables by name"
            " is disabled. --believe believes it",
            err=True,
        )


def _sync(store: AccountStore, audit: Auditor) -> AccountSync:
    return AccountSync(ServiceAccounts(store, SystemClock(), audit, actor=actor()))


def _cells(step: Step) -> tuple[str, str, str, str]:
    before = step.before
    if before is None or step.kind is Kind.DELETE:
        return step.subject, step.status.value, ",".join(step.groups), step.name
    return (
        step.subject,
        _arrow(before.status.value, step.status.value),
        _arrow(",".join(before.groups), ",".join(step.groups)),
        _arrow(before.name, step.name),
    )


def _arrow(before: str, after: str) -> str:
    return after if before == after else f"{before or '-'} -> {after or '-'}"


def _members(plan: Plan, outcome: Outcome | None) -> dict[str, object]:
    failed = () if outcome is None else outcome.failed
    return {
        "realm": plan.realm,
        "dry_run": outcome is None,
        "changes": [_step(step) for step in plan.steps],
        "failed": [{"subject": each.step.subject, "why": each.why} for each in failed],
        "kept": plan.kept,
        "held_shut": list(plan.held_shut),
        "unholdable": [{"subject": each.subject, "why": each.why} for each in plan.unholdable],
        "withheld": [_step(step) for step in plan.withheld],
    }


def _step(step: Step) -> dict[str, object]:
    before, after = step.before, step if step.kind is not Kind.DELETE else None
    return {
        "change": step.kind.value,
        "subject": step.subject,
        **{
            time: None
            if each is None
            else {"name": each.name, "status": each.status.value, "groups": list(each.groups)}
            for time, each in (("before", before), ("after", after))
        },
    }
