"""What the commands share: settings, errors, output."""

import asyncio
import getpass
import os
import sys
from collections.abc import Coroutine
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

import typer
from rich.markup import escape

from sidecar.app.asking import NotReachable
from sidecar.app.checking import problems_of
from sidecar.observability.decision_log import audit_line
from sidecar.ports import AuditRecord, StatusUnavailable
from sidecar.settings import Settings, SettingsProblems, load

T = TypeVar("T")

_USUAL_PLACES = (Path("config/sidecar.yaml"), Path("/etc/sidecar/sidecar.yaml"))

Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        envvar="SIDECAR_CONFIG",
        help="The settings file. Without it: config/sidecar.yaml or /etc/sidecar/sidecar.yaml,"
        " whichever there is, else the environment alone.",
    ),
]


Realm = Annotated[
    str | None, typer.Option("--realm", help="The realm; needed where several are configured.")
]


class Output(StrEnum):
    """How a command prints what it found."""

    TABLE = "table"
    JSON = "json"


def find_config(config: Path | None) -> Path | None:
    """Return the settings file: the one that is named, or what is in one of the usual places."""
    return config or next((place for place in _USUAL_PLACES if place.exists()), None)


def load_settings(config: Path | None) -> Settings:
    """Return the settings; ends the process with 2 and every problem when there are any."""
    config = find_config(config)
    try:
        return load(config, os.environ)
    except SettingsProblems as problems:
        hint = (
            ""
            if config is not None
            else (
                "\nName a file with --config; config/sidecar.minimal.yaml is the least that works."
            )
        )
        stop(str(problems) + hint, 2)


def check(settings: Settings) -> None:
    """End the process with 2 when a sidecar with these settings could not start."""
    problems = problems_of(settings)
    if problems:
        stop(str(SettingsProblems("these settings", problems)), 2)


def choose_realm(settings: Settings, realm: str | None) -> str:
    """Return the realm that is meant; ends the process with 2 where that is not clear."""
    realms = sorted({issuer.realm for issuer in settings.issuers})
    if realm is None and len(realms) == 1:
        return realms[0]
    if realm is None:
        stop(f"name a realm with --realm: one of {', '.join(realms)}", 2)
    if realm not in realms:
        stop(f"no issuer has the realm {realm}; there are {', '.join(realms)}", 2)
    return realm


def read_token_file(place: str) -> str:
    """Return the token in a file, or on stdin for ``-``; ends the process with 2 without one."""
    try:
        text = sys.stdin.read() if place == "-" else Path(place).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as problem:
        stop(f"the token cannot be read from {place}: {problem}", 2)
    return bare(text)


def bare(text: str) -> str:
    """Return the token of a pasted ``Bearer eyJ...``."""
    return text.strip().removeprefix("Bearer ").strip()


class Audit:
    """Each change is a line on stderr, for the terminal's or the job's log."""

    def audited(self, record: AuditRecord) -> None:
        typer.echo(audit_line(record), err=True)


def plain(text: str) -> str:
    """Return it without what a terminal would obey: in Redis anybody may write anything."""
    return escape("".join(each if each.isprintable() else "\ufffd" for each in text))


def actor() -> str:
    """Return whom the audit records of this process name."""
    return f"cli:{getpass.getuser()}"


def stop(message: str, code: int) -> NoReturn:
    """Say what went wrong on stderr, and end the process."""
    typer.echo(message, err=True)
    raise typer.Exit(code)


def wait_for(work: Coroutine[Any, Any, T], settings: Settings, *, writes: bool = False) -> T:
    """Run ``work``; ends the process with 3 when the account store cannot be asked.

    ``writes`` says that it may have changed something by then.
    """
    try:
        return asyncio.run(work)
    except NotReachable as problem:
        stop(str(problem), 2)
    except StatusUnavailable as problem:
        place = settings.accounts.url.rpartition("@")[2]  # not the password that may stand there
        stop(
            f"the account store at {place} cannot be asked: {problem}\n"
            + (
                "Whether anything was changed is not known: look before you go on. "
                if writes
                else ""
            )
            + "Is it running, and are accounts.url and its password right?",
            3,
        )
    except (OSError, ValueError) as problem:
        stop(f"the settings name what cannot be used: {problem}", 2)
