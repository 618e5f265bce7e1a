"""``sidecar store``: the account store as a whole."""

from typing import Annotated

import typer

from sidecar import app
from sidecar.cli.common import Config, load_settings, wait_for

cli = typer.Typer(help="See to the account store as a whole.", no_args_is_help=True)

_MEANING = """\
Sidecars refuse every request once the account store shows less than they had seen: it was restored
from a dump, emptied, or a stale replica was promoted, and who was disabled since may be active in
it. Confirming declares that the accounts are in order as they are in there now.
Look first: `sidecar account list`, and disable again whoever has to be."""


@cli.command()
def confirm(
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    config: Config = None,
) -> None:
    """Declare the accounts to be in order after the store lost writes; sidecars grant again."""
    settings = load_settings(config)
    typer.echo(_MEANING)
    if not yes:
        typer.confirm("Are the accounts in order?", abort=True)
    before = wait_for(app.confirm_store(settings), settings)
    typer.echo(f"confirmed at revision {before.revision or 0}: sidecars take it from here")
