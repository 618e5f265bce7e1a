"""``sidecar provider``: an identity provider, before it is in the settings."""

import asyncio
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from sidecar.adapters.clock import SystemClock
from sidecar.app.detecting import NotDetected, detect
from sidecar.cli.common import bare, stop
from sidecar.cli.issuer_block import IssuerBlock, NotItsToken

cli = typer.Typer(help="Look at an identity provider.", no_args_is_help=True)

_VARIABLE = "ACCESS_TOKEN"
_LONGEST_TOKEN = 65536


@cli.callback()
def _provider() -> None:
    pass


@cli.command("detect")
def detect_provider(
    url: Annotated[str, typer.Argument(help="The issuer, such as https://login.example.com/.")],
    token: Annotated[
        bool,
        typer.Option(
            "--token",
            help=f"Fill in audience and client from a token: of the variable {_VARIABLE}, or else"
            " from stdin. It is never an argument: others could see it in the process list.",
        ),
    ] = False,
    insecure_http: Annotated[
        bool, typer.Option("--insecure-http", help="Allow http:// on this machine.")
    ] = False,
    ca: Annotated[
        Path | None,
        typer.Option("--ca", help="PEM file with the authorities to trust for the provider."),
    ] = None,
) -> None:
    """Ask a provider what it is, and print settings for it.

    3 means that it cannot be asked, or says nothing to go by; 1 that the token is not its.
    """
    compact = _read_token() if token else None
    try:
        detected = asyncio.run(detect(url, insecure_http=insecure_http, ca=ca))
    except NotDetected as problem:
        stop(f"the provider cannot be detected: {problem}", 3)
    except ValueError as problem:
        stop(f"--ca: {problem}", 2)
    is_plain = detected.metadata.issuer.startswith("http://")
    block = IssuerBlock(detected, insecure_http=is_plain, ca=ca)
    if compact is not None:
        try:
            block.fill_from(compact, SystemClock().now())
        except NotItsToken as problem:
            stop(f"the token is of no use here: {problem}", 1)
    for line in block.lines():
        typer.echo(line)


def _read_token() -> str:
    text = os.environ.get(_VARIABLE) or sys.stdin.read(_LONGEST_TOKEN)
    compact = bare(text)
    if not compact:
        stop(f"there is no token in {_VARIABLE}, nor on stdin", 2)
    return compact
