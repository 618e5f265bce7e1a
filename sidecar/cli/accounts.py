"""``sidecar account``: who may be in, in the words of ``hoop admin create serviceaccount``."""

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from rich.console import Console
from rich.table import Table

from sidecar import app
from sidecar.adapters.clock import SystemClock
from sidecar.cli.common import (
    Audit,
    Config,
    Output,
    Realm,
    actor,
    choose_realm,
    load_settings,
    plain,
    stop,
    wait_for,
)
from sidecar.cli.last_use import Unused, Uses, read_uses, unused_for
from sidecar.core.subject import Account, SubjectKey
from sidecar.ports import AccountExists, AccountNotFound, Contended
from sidecar.service_accounts import BadAccount, ServiceAccounts

R = TypeVar("R")

cli = typer.Typer(help="Manage service accounts.", no_args_is_help=True)

Subject = Annotated[str, typer.Argument(help="The token's `sub`, verbatim.")]
Groups = Annotated[
    str | None, typer.Option("--groups", help="Comma-separated; replaces what the account has.")
]
Name = Annotated[str | None, typer.Option("--name", help="What people call it.")]
Print = Annotated[Output, typer.Option("--output", "-o", help="How to print.")]


@cli.command()
def create(
    subject: Subject,
    groups: Groups = None,
    name: Name = None,
    disable: Annotated[bool, typer.Option("--disable", help="Make it inactive.")] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the account if there is one.")
    ] = False,
    realm: Realm = None,
    output: Print = Output.TABLE,
    config: Config = None,
) -> None:
    """Let a program in: create its account."""
    found = False

    async def act(accounts: ServiceAccounts, key: SubjectKey) -> Account:
        nonlocal found
        found = overwrite and await accounts.find(key) is not None
        return await accounts.create(
            key,
            name=name or "",
            groups=_split(groups) or (),
            active=not disable,
            overwrite=overwrite,
        )

    account = _change(config, realm, subject, act)
    _print_changed(account, "updated" if found else "created", output)


@cli.command()
def update(
    subject: Subject,
    groups: Groups = None,
    name: Name = None,
    realm: Realm = None,
    output: Print = Output.TABLE,
    config: Config = None,
) -> None:
    """Change an account's name or groups; what is not given stays."""
    if groups is None and name is None:
        stop("say what to change: --name or --groups", 2)
    account = _change(
        config,
        realm,
        subject,
        lambda accounts, key: accounts.update(key, name=name, groups=_split(groups)),
    )
    _print_changed(account, "updated", output)


@cli.command()
def disable(
    subject: Subject, realm: Realm = None, output: Print = Output.TABLE, config: Config = None
) -> None:
    """Shut a program out: refused from now on, its open streams end."""
    account = _change(config, realm, subject, lambda accounts, key: accounts.disable(key))
    _print_changed(account, "disabled", output)


@cli.command()
def enable(
    subject: Subject, realm: Realm = None, output: Print = Output.TABLE, config: Config = None
) -> None:
    """Let a disabled program in again."""
    account = _change(config, realm, subject, lambda accounts, key: accounts.enable(key))
    _print_changed(account, "enabled", output)


@cli.command()
def delete(subject: Subject, realm: Realm = None, config: Config = None) -> None:
    """Remove an account: its subject is unknown from now on.

    Unknown is refused, but on routes with `unregistered: forward`: there, disable it instead.
    """
    _change(config, realm, subject, lambda accounts, key: accounts.delete(key))
    typer.echo(f"service account {subject} deleted")


@cli.command()
def show(
    subject: Subject, realm: Realm = None, output: Print = Output.TABLE, config: Config = None
) -> None:
    """Print one account."""
    account = _change(config, realm, subject, lambda accounts, key: accounts.get(key))
    settings = load_settings(config)
    uses = read_uses(settings, choose_realm(settings, realm), [account])
    if output is Output.JSON:
        typer.echo(_json(account, uses))
    else:
        _print_table([account], uses)


@cli.command("list")
def list_accounts(
    realm: Realm = None,
    unused: Unused = None,
    output: Print = Output.TABLE,
    config: Config = None,
) -> None:
    """Print the accounts of a realm: all, or those that nobody uses."""
    settings = load_settings(config)
    place = choose_realm(settings, realm)

    async def act() -> list[Account]:
        async with app.open_store(settings) as store:
            return list(await store.list(place))

    found = wait_for(act(), settings)
    uses = read_uses(settings, place, found, needed=unused is not None)
    if unused is not None:
        found = unused_for(unused, found, uses)
    if output is Output.JSON:
        members = [_members(account) | uses.members(account) for account in found]
        typer.echo(json.dumps(members, indent=2))
    else:
        _print_table(found, uses)


def _change(
    config: Path | None,
    realm: str | None,
    subject: str,
    act: Callable[[ServiceAccounts, SubjectKey], Awaitable[R]],
) -> R:
    settings = load_settings(config)
    key = SubjectKey(choose_realm(settings, realm), subject)

    async def perform() -> R:
        async with app.open_store(settings) as store, app.open_audit(settings, Audit()) as audit:
            return await act(ServiceAccounts(store, SystemClock(), audit, actor=actor()), key)

    try:
        return wait_for(perform(), settings, writes=True)
    except AccountExists:
        stop(
            f"service account {subject} exists already; change it with `sidecar account update`,"
            " or replace it with --overwrite",
            1,
        )
    except AccountNotFound:
        stop(
            f"there is no service account {subject} in realm {key.realm};"
            " `sidecar account list` shows those there are",
            1,
        )
    except (BadAccount, Contended) as problem:
        stop(str(problem), 2 if isinstance(problem, BadAccount) else 3)


def _split(groups: str | None) -> tuple[str, ...] | None:
    if groups is None:
        return None
    return tuple(group.strip() for group in groups.split(",") if group.strip())


def _members(account: Account) -> dict[str, object]:
    return {
        "id": account.id,
        "subject": account.subject,
        "name": account.name,
        "status": account.status.value,
        "groups": list(account.groups),
        "not_before": account.not_before,
        "updated_at": account.updated_at,
        "updated_by": account.updated_by,
    }


def _json(account: Account, uses: Uses | None = None) -> str:
    used = {} if uses is None else uses.members(account)
    return json.dumps(_members(account) | used, indent=2)


def _print_changed(account: Account, done: str, output: Output) -> None:
    typer.echo(
        _json(account) if output is Output.JSON else f"service account {account.subject} {done}"
    )


def _print_table(accounts: list[Account], uses: Uses) -> None:
    table = Table("SUBJECT", "STATUS", "GROUPS", "NAME", "UPDATED BY", *uses.columns, box=None)
    for account in accounts:
        colour = "green" if account.is_active else "red"
        table.add_row(
            plain(account.subject),
            f"[{colour}]{account.status.value}[/{colour}]",
            *map(plain, (",".join(account.groups), account.name, account.updated_by)),
            *uses.cells(account),
        )
    Console().print(table)
