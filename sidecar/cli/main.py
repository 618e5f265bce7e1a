"""``sidecar`` and its commands."""

import json
import os
import sys
from collections.abc import Iterator
from typing import Annotated

import typer

from sidecar import __version__, app
from sidecar.adapters.clock import SystemClock
from sidecar.cli import (
    accounts,
    declared_accounts,
    explain,
    provider,
    report,
    revocations,
    store,
    watch,
)
from sidecar.cli.common import Config, check, find_config, load_settings, stop, wait_for
from sidecar.observability import process_log
from sidecar.settings import Problem, Settings, load
from sidecar.settings import schema as settings_schema

cli = typer.Typer(
    name="sidecar",
    help="Authorization sidecar for service accounts, with instant revocation.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # its tracebacks print local variables, tokens included
)
accounts.cli.command("revoke-tokens")(revocations.revoke_subject_tokens)
accounts.cli.command("sync")(declared_accounts.sync)
accounts.cli.command("export")(declared_accounts.export)
accounts.cli.command("import")(declared_accounts.import_accounts)
accounts.cli.command("apply")(declared_accounts.apply)
cli.add_typer(accounts.cli, name="account")
cli.add_typer(revocations.token_cli, name="token")
cli.add_typer(revocations.realm_cli, name="realm")
cli.add_typer(store.cli, name="store")
cli.add_typer(provider.cli, name="provider")
cli.command("explain")(explain.explain)
cli.command("report")(report.report)
cli.command("watch")(watch.watch)


def main() -> None:
    """Run the command line; ends the process with the exit code."""
    cli()


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"sidecar {__version__}")
        raise typer.Exit


@cli.callback()
def _common(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version.", callback=_print_version, is_eager=True
        ),
    ] = False,
) -> None:
    pass


@cli.command()
def run(config: Config = None) -> None:
    """Serve: the reverse proxy, and the admin listener beside it. SIGHUP reloads the settings."""
    app.keep_hangups()
    config = find_config(config)
    settings = load_settings(config)
    check(settings)
    process_log.configure(settings.log.level)
    try:
        app.run(settings, lambda: load(config, os.environ))
    except OSError as problem:
        stop(f"cannot start: {problem}", 3)


@cli.command("check-config")
def check_config(
    config: Config = None,
    probe: Annotated[
        bool,
        typer.Option(
            "--probe",
            help="Warn also where upstream can be reached past the sidecar, and where an"
            " introspection endpoint does not answer as it should.",
        ),
    ] = False,
) -> None:
    """Read the settings and report every problem at once, each with its place and remedy."""
    settings = load_settings(config)
    check(settings)
    warnings = app.expiring_certificates(settings, SystemClock().now())
    for warning in (*warnings, *(_probe(settings) if probe else ())):
        typer.echo(f"warning: {warning}", err=True)
    for warning in app.shadow_warnings(settings):
        typer.echo(f"warning: {warning}", err=True)
    routes = len(settings.routes_table().routes)
    typer.echo(f"the settings are good: {len(settings.issuers)} issuer(s), {routes} routes")


def _probe(settings: Settings) -> Iterator[Problem]:
    yield from app.exposures(settings)
    yield from wait_for(app.introspection_warnings(settings), settings)


@cli.command()
def schema() -> None:
    """Print the JSON Schema of the settings, with the meaning and unit of each value."""
    sys.stdout.write(json.dumps(settings_schema(), indent=2, sort_keys=True) + "\n")


@cli.command()
def demo(
    once: Annotated[
        bool, typer.Option("--once", help="End after the story: 0 if it went well, else 1.")
    ] = False,
) -> None:
    """See the whole story on this machine, on loopback, with nothing to configure."""
    from sidecar.demo import story  # noqa: PLC0415 - the demo's servers are no part of a server

    process_log.configure("warning")
    raise typer.Exit(story.main(once=once))
