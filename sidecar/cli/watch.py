"""``sidecar watch``: what a running sidecar does, in the terminal, by its admin listener."""

import http.client
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, TypeVar
from urllib.parse import urlsplit

import typer
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from sidecar.adapters.clock import SystemClock
from sidecar.app.tls import client_context
from sidecar.cli.common import Config, load_settings, stop
from sidecar.observability.scraped import Reading, read_metrics
from sidecar.observability.workers import Worker, read_workers
from sidecar.ports import Clock, CutReason
from sidecar.settings import Settings

_PATIENCE_SECONDS = 2.0
_REFRESH_SECONDS = 1.0
_LONGEST_ANSWER = 16 * 1024 * 1024
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104


_Read = TypeVar("_Read")


class AdminUnreachable(Exception):
    """The admin listener does not say what there is to see; the message says why."""


@dataclass(frozen=True, slots=True)
class _Seen:
    reading: Reading
    workers: Mapping[int, Worker]
    at: float


class Watch:
    """Looks again and again. ``fetch`` returns what is at a path or raises AdminUnreachable."""

    def __init__(self, url: str, fetch: Callable[[str], str], clock: Clock) -> None:
        self._url = url
        self._fetch = fetch
        self._clock = clock
        self._last: _Seen | None = None
        self._screen: RenderableType = ""

    def look(self) -> RenderableType:
        """Return what there is to see now, with rates since the last look.

        Raises:
            AdminUnreachable: there is nothing.
        """
        reading = _read(read_metrics, self._fetch("/metrics"))
        workers = _read(read_workers, self._fetch("/workers"))
        seen = _Seen(reading, {each.pid: each for each in workers}, self._clock.steady())
        self._screen = _screen(seen, self._last, self._clock.now())
        self._last = seen
        return self._screen

    def look_or_say(self) -> RenderableType:
        """As ``look``; where there is nothing say so, above what was seen last."""
        try:
            return self.look()
        except AdminUnreachable as problem:
            self._last = None  # rates over the gap would be of no time in particular
            words = f"[bold red]no answer from {escape(self._url)}[/]: {escape(str(problem))}"
            return Group(f"{words}; trying again", self._screen)


def watch(
    admin: Annotated[
        str | None,
        typer.Option(
            "--admin", help="URL of the admin listener; without it the one of the settings."
        ),
    ] = None,
    ca: Annotated[
        Path | None,
        typer.Option(
            "--ca",
            exists=True,
            dir_okay=False,
            help="PEM file with the authorities of a listener that speaks TLS.",
        ),
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="Print one table and end.")] = False,
    config: Config = None,
) -> None:
    """See decisions, cuts and freshness live, from the admin listener of a running sidecar."""
    url = _admin_url(load_settings(config)) if admin is None else admin.rstrip("/")
    watching = Watch(url, partial(fetch, url, ca=ca), SystemClock())
    console = Console()
    if once:
        try:
            console.print(watching.look())
        except AdminUnreachable as problem:
            stop(
                f"the admin listener at {url} cannot be asked: {problem}\n"
                "Is the sidecar running, and is it this listener? Name another with --admin URL.",
                3,
            )
        return
    keep_watching(watching, console, time.sleep)


def keep_watching(watching: Watch, console: Console, sleep: Callable[[float], None]) -> None:
    """Show it and refresh it every second, until the user has seen enough (Ctrl-C)."""
    try:
        with Live(console=console, auto_refresh=False) as live:
            while True:
                live.update(watching.look_or_say(), refresh=True)
                sleep(_REFRESH_SECONDS)
    except KeyboardInterrupt:
        pass


def fetch(url: str, path: str, *, ca: Path | None = None) -> str:
    """Return what is at ``path`` of the admin listener at ``url``, without any proxy between.

    ``ca`` are the authorities to believe instead of the system's, where it speaks TLS.

    Raises:
        AdminUnreachable: it does not answer, or with something else.
    """
    try:
        connection = _connection_to(url, ca)
        try:
            connection.request("GET", path, headers={"Accept": "text/plain"})
            answer = connection.getresponse()
            body = answer.read(_LONGEST_ANSWER)
        finally:
            connection.close()
    except (OSError, ValueError, http.client.HTTPException) as problem:
        raise AdminUnreachable(str(problem) or type(problem).__name__) from None
    if answer.status != 200:
        raise AdminUnreachable(f"it answered {answer.status}")
    return body.decode(errors="replace")


def _connection_to(url: str, ca: Path | None) -> http.client.HTTPConnection:
    parts = urlsplit(url)
    match parts.scheme:
        case "http" if parts.hostname:
            return http.client.HTTPConnection(parts.hostname, parts.port, timeout=_PATIENCE_SECONDS)
        case "https" if parts.hostname:
            return http.client.HTTPSConnection(
                parts.hostname, parts.port, timeout=_PATIENCE_SECONDS, context=client_context(ca)
            )
        case _:
            raise AdminUnreachable("expected a URL such as http://127.0.0.1:9090")


def _read(read: Callable[[str], _Read], text: str) -> _Read:
    try:
        return read(text)
    except ValueError as problem:
        raise AdminUnreachable(str(problem)) from None


def _admin_url(settings: Settings) -> str:
    host = _EVERYWHERE.get(settings.admin.host, settings.admin.host)
    scheme = "http" if settings.admin.tls is None else "https"
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{settings.admin.port}"


def _screen(seen: _Seen, last: _Seen | None, now: float) -> RenderableType:
    reading = seen.reading
    before = last.reading if last is not None else None
    seconds = seen.at - last.at if last is not None else 0.0
    decided = _table("Decisions", "decision", "reason", "total", "per second")
    _right(decided, 2, 3)
    for (outcome, reason), count in sorted(reading.decisions.items(), reverse=True):
        if count or outcome == "granted":
            old = None if before is None else before.decisions.get((outcome, reason), 0.0)
            decided.add_row(outcome, reason, f"{count:.0f}", _rate(count, old, seconds))
    for reason, count in sorted(reading.shadow_denials.items()):
        if count:
            old = None if before is None else before.shadow_denials.get(reason, 0.0)
            decided.add_row("in shadow", reason, f"{count:.0f}", _rate(count, old, seconds))
    cuts = _table("Streams cut", "cut because", "total", "per second")
    _right(cuts, 1, 2)
    for reason, count in sorted(reading.cuts.items()):
        if count or reason == CutReason.REVOKED:
            old = None if before is None else before.cuts.get(reason, 0.0)
            cuts.add_row(reason, f"{count:.0f}", _rate(count, old, seconds))
    return Group(decided, cuts, _workers(seen, last, now), _state(reading, now))


def _workers(seen: _Seen, last: _Seen | None, now: float) -> Table:
    columns = ("process", "decisions", "per second", "cuts", "account view", "oldest keys")
    table = _table("Workers", *columns)
    _right(table, 0, 1, 2, 3)
    for pid, worker in sorted(seen.workers.items()):
        before = None if last is None else last.workers.get(pid)
        table.add_row(
            str(pid),
            f"{worker.decisions:.0f}",
            "-"
            if last is None or before is None
            else _rate(worker.decisions, before.decisions, seen.at - last.at),
            f"{worker.cuts:.0f}",
            _view(is_live=worker.is_live, proven_at=worker.proven_at, now=now),
            _age(worker.keys_loaded_at, now) if worker.keys_loaded_at else "none",
        )
    return table


def _view(*, is_live: bool, proven_at: float, now: float) -> str:
    proven = f"proven {_age(proven_at, now)}" if proven_at else "never proven"
    return f"{'[green]live[/]' if is_live else '[bold red]not live[/]'}, {proven}"


def _state(reading: Reading, now: float) -> Table:
    state = _table("State", "what", "how it is")
    view = _view(is_live=reading.is_live, proven_at=reading.proven_at, now=now)
    state.add_row("account view", view)
    if reading.shadow_routes:
        routes = reading.shadow_routes
        state.add_row("shadow", f"[bold red]nothing is enforced on {routes} routes[/]")
    for issuer, keys in sorted(reading.keys.items()):
        loaded = f", loaded {_age(keys.loaded_at, now)}" if keys.loaded_at else ""
        state.add_row(f"keys of {escape(issuer)}", f"{keys.number}{loaded}")
    for kind, number in sorted(reading.in_flight.items()):
        state.add_row(f"in flight, {kind}", f"{number:.0f}")
    return state


def _table(title: str, *columns: str) -> Table:
    # Without a frame: all of them together have to be seen in 24 lines.
    return Table(*columns, title=title, title_justify="left", show_edge=False)


def _right(table: Table, *columns: int) -> None:
    for column in columns:
        table.columns[column].justify = "right"


def _rate(count: float, before: float | None, seconds: float) -> str:
    # Less than before: it was started anew in between, and counts from nothing again.
    if before is None or seconds <= 0 or count < before:
        return "-"
    return f"{(count - before) / seconds:.1f}"


def _age(at: float, now: float) -> str:
    return f"{max(0.0, now - at):.1f} s ago"
