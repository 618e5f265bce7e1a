"""``sidecar account sync``, ``export``, ``import`` and ``apply``: many accounts at once.

They end with 0 when all is as it should be then; 1 when something failed or was left out; 2 for
settings, options or a file that cannot be used; 3 when the gateway or the store cannot be asked.
"""

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from sidecar import app
from sidecar.adapters.clock import SystemClock
from sidecar.cli.account_files import Format, format_of, read_accounts, write_accounts
from sidecar.cli.account_plans import carry_out, finish, make_plan, show
from sidecar.cli.common import Config, Realm, choose_realm, load_settings, stop, wait_for
from sidecar.core.account_plan import Kind, Plan, PlanRules, Vanished
from sidecar.core.subject import Account
from sidecar.core.wanted_accounts import NotAccounts, WantedAccount
from sidecar.settings import Settings

_MAX_BYTES = 64 * 1024 * 1024

DryRun = Annotated[bool, typer.Option("--dry-run", help="Show the difference; change nothing.")]
Json = Annotated[bool, typer.Option("--json", help="Print it as JSON.")]
Reenable = Annotated[
    bool,
    typer.Option("--reenable", help="Enable what is disabled here and active there."),
]
Form = Annotated[
    Format | None, typer.Option("--format", help="By default as the file's name ends.")
]


def sync(
    dry_run: DryRun = False,
    as_json: Json = False,
    reenable: Reenable = False,
    believe: Annotated[
        bool, typer.Option("--believe", help="However many accounts are not listed any more.")
    ] = False,
    config: Config = None,
) -> None:
    """Bring the accounts into step with the gateway's, as `sync` in the settings says."""
    settings = load_settings(config)
    section = settings.sync
    if section is None:
        stop("the settings have no section sync: how to sign in at the gateway is not known", 2)
    rules = app.sync_rules(section)
    rules = replace(
        rules,
        reenable=rules.reenable or reenable,
        max_vanished_share=1.0 if believe else rules.max_vanished_share,
    )

    async def fetch() -> Sequence[WantedAccount]:
        async with app.open_gateway(settings, SystemClock()) as source:
            return await source.fetch()

    plan = make_plan(settings, section.realm or "", fetch, rules)
    show(plan, as_json=as_json)
    finish(plan, None if dry_run else carry_out(settings, plan), as_json=as_json)


def export(
    form: Annotated[Format, typer.Option("--format", help="How to write them.")] = Format.YAML,
    realm: Realm = None,
    config: Config = None,
) -> None:
    """Print all accounts of a realm, for `import` or `apply` to read."""
    settings = load_settings(config)
    place = choose_realm(settings, realm)

    async def act() -> Sequence[Account]:
        async with app.open_store(settings) as store:
            return await store.list(place)

    text = write_accounts(wait_for(act(), settings), form)
    sys.stdout.buffer.write(text.encode())  # the line ends are the format's own


def import_accounts(
    file: Annotated[str, typer.Argument(help="The file; - reads stdin, and needs --format.")],
    form: Form = None,
    dry_run: DryRun = False,
    as_json: Json = False,
    reenable: Reenable = False,
    realm: Realm = None,
    config: Config = None,
) -> None:
    """Add and update the accounts of a file; what is not in it stays as it is."""
    settings = load_settings(config)
    plan = _plan(settings, realm, _read(file, form), PlanRules(reenable=reenable))
    show(plan, as_json=as_json)
    finish(plan, None if dry_run else carry_out(settings, plan), as_json=as_json)


def apply(
    file: Annotated[
        str, typer.Option("--file", "-f", help="The file; - reads stdin, and needs --format.")
    ],
    form: Form = None,
    prune: Annotated[
        bool, typer.Option("--prune", help="Delete accounts that are not in the file.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Delete without asking.")] = False,
    dry_run: DryRun = False,
    as_json: Json = False,
    reenable: Reenable = False,
    realm: Realm = None,
    config: Config = None,
) -> None:
    """Make the accounts what a file says; with --prune those and no others."""
    settings = load_settings(config)
    rules = PlanRules(Vanished.DELETE if prune else Vanished.KEEP, reenable=reenable)
    plan = _plan(settings, realm, _read(file, form), rules)
    show(plan, as_json=as_json)
    if dry_run:
        finish(plan, None, as_json=as_json)
        return
    deletions = sum(1 for step in plan.steps if step.kind is Kind.DELETE)
    if deletions and not yes:
        if not sys.stdin.isatty():
            stop(f"{deletions} accounts would be deleted; --yes deletes them. Nothing was done", 2)
        typer.confirm(f"Delete {deletions} accounts?", abort=True, err=True)
    finish(plan, carry_out(settings, plan), as_json=as_json)


def _plan(
    settings: Settings, realm: str | None, wanted: list[WantedAccount], rules: PlanRules
) -> Plan:
    async def fetch() -> Sequence[WantedAccount]:
        return wanted

    return make_plan(settings, choose_realm(settings, realm), fetch, rules)


def _read(place: str, form: Format | None) -> list[WantedAccount]:
    found = form or format_of(place)
    if found is None:
        stop(f"name the format of {place} with --format: json, csv or yaml", 2)
    try:
        if place == "-":
            content = sys.stdin.buffer.read(_MAX_BYTES + 1)
        else:
            with Path(place).open("rb") as stream:
                content = stream.read(_MAX_BYTES + 1)
    except OSError as problem:
        stop(f"{place} cannot be read: {problem.strerror}", 2)
    if len(content) > _MAX_BYTES:
        stop(f"{place} is larger than {_MAX_BYTES} bytes", 2)
    try:
        return read_accounts(content, found)
    except NotAccounts as problem:
        stop(f"{place}: {problem}", 2)
