"""``sidecar report``: what a decision log comes to, and whether shadow may end."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated

import typer

from sidecar.adapters.clock import SystemClock
from sidecar.cli.common import stop
from sidecar.cli.decision_lines import Line, NotReadable, lines_of, opened, read_line
from sidecar.cli.last_use import read_duration
from sidecar.cli.report_shown import json_of, print_report
from sidecar.cli.report_tally import Tally, Wanted
from sidecar.observability.process_log import timestamp

_AGO = re.compile(r"[0-9dhms]+")


class Form(StrEnum):
    """How the report is printed."""

    TEXT = "text"
    JSON = "json"


Files = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="FILE…",
        help="Decision logs, rotated and compressed (gzip) ones too; - or nothing is stdin.",
    ),
]
Since = Annotated[
    str | None,
    typer.Option(
        "--since", metavar="TIME", help="Only from then on: 24h, 7d, or 2026-01-31T08:00Z."
    ),
]
Until = Annotated[
    str | None, typer.Option("--until", metavar="TIME", help="Only what was before that.")
]
OfRoute = Annotated[str, typer.Option("--route", help="Only this route, by its name.")]
ShadowOnly = Annotated[
    bool,
    typer.Option(
        "--shadow-only/--all",
        help="Leave out what was refused in earnest: only what shadow let through.",
    ),
]
Top = Annotated[
    int, typer.Option("--top", min=1, max=1000, help="So many callers and routes at most.")
]
FailOnRefusals = Annotated[
    bool,
    typer.Option(
        "--fail-on-refusals",
        help="End with 1 if shadow let anybody through, or if there is no decision at all.",
    ),
]


def report(
    files: Files = None,
    since: Since = None,
    until: Until = None,
    route: OfRoute = "",
    shadow_only: ShadowOnly = False,
    top: Top = 20,
    form: Annotated[Form, typer.Option("--output", "-o", help="How to print.")] = Form.TEXT,
    fail_on_refusals: FailOnRefusals = False,
) -> None:
    """Say who was refused, or would have been on routes in shadow, why and how often.

    It reads what the sidecar writes to stdout, and ends with 2 where a log cannot be read.
    """
    now = SystemClock().now()
    wanted = Wanted(_read_time(since, now), _read_time(until, now), route, shadow_only)
    tally = Tally(wanted)
    unread = 0
    for place in files or ["-"]:
        try:
            tally.count_all(_read(place))
        except (OSError, NotReadable) as problem:
            typer.echo(f"{place} cannot be read to its end: {problem}", err=True)
            unread += 1
    if form is Form.JSON:
        typer.echo(json_of(tally, top))
    else:
        print_report(tally, top)
    if unread:
        raise typer.Exit(2)
    if fail_on_refusals and not tally.is_ready:
        raise typer.Exit(1)


def _read(place: str) -> Iterator[Line | None]:
    with opened(place) as stream:
        for octets in lines_of(stream):
            yield read_line(octets)


def _read_time(text: str | None, now: float) -> str:
    """Return a time as the log writes it; ends the process with 2 where it is none."""
    if text is None:
        return ""
    try:
        if _AGO.fullmatch(text):
            return timestamp(now - read_duration(text).total_seconds())
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return timestamp(moment.timestamp())
    except (ValueError, OverflowError, OSError, typer.BadParameter):
        stop("expected a time such as 24h, 7d or 2026-01-31T08:00Z", 2)
