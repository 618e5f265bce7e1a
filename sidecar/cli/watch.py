"""``sidecar watch``: what a running sidecar does, in the terminal, by its admin listener."""

import http.client
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlsplit

import typer
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from sidecar.adapters.clock import SystemClock
from sidecar.cli.common import Config, load_settings, stop
from sidecar.observability.scraped import Reading, read_metrics
from sidecar.ports import Clock
from sidecar.settings import Settings

_PATIENCE_SECONDS = 2.0
_REFRESH_SECONDS = 1.0
_LONGEST_ANSWER = 16 * 1024 * 1024
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104


class AdminUnreachable(Exception):
    """The admin listener gave no metrics; the message says why."""


@dataclass(frozen=True, slots=True)
class _Seen:
    reading: Reading
    at: float


class Watch:
    """Looks again and again. ``fetch`` returns an exposition or raises AdminUnreachable."""

    def __init__(self, url: str, fetch: Callable[[], str], clock: Clock) -> None:
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
        seen = _Seen(_read(self._fetch()), self._clock.steady())
        self._screen = _screen(seen, self._last, self._clock.now())
        self._last = seen
        return self._screen

    def look_or_say(self) -> RenderableType:
        """As ``look``; where there is nothing say so, below what was seen last."""
        try:
            return self.look()
        except AdminUnreachable as problem:
            self._last = None  # rates over the gap would be of no time in particular
            words = f"[bold red]no answer from {escape(self._url)}[/]: {escape(str(problem))}"
            return Group(self._screen, f"{words}; trying again")


def watch(
    admin: Annotated[
        str | None,
        typer.Option(
            "--admin", help="URL of the admin listener; without it the one of the settings."
        ),
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="Print one table and end.")] = False,
    config: Config = None,
) -> None:
    """See decisions, cuts and freshness live, from the admin listener of a running sidecar."""
    url = _admin_url(load_settings(config)) if admin is None else admin.rstrip("/")
    watching = Watch(url, lambda: fetch_metrics(url), SystemClock())
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


def fetch_metrics(url: str) -> str:
    """Return the exposition of the admin listener at ``url``, without any proxy between.

    Raises:
        AdminUnreachable: it does not answer, or with something else.
    """
    try:
        parts = urlsplit(url)
        if parts.scheme != "http" or not parts.hostname:
            raise AdminUnreachable("expected a URL such as http://127.0.0.1:9090")
        connection = http.client.HTTPConnection(
            parts.hostname, parts.port, timeout=_PATIENCE_SECONDS
        )
        try:
            connection.request("GET", "/metrics", headers={"Accept": "text/plain"})
            answer = connection.getresponse()
            body = answer.read(_LONGEST_ANSWER)
        finally:
            connection.close()
    except (OSError, ValueError, http.client.HTTPException) as problem:
        raise AdminUnreachable(str(problem) or type(problem).__name__) from None
    if answer.status != 200:
        raise AdminUnreachable(f"it answered {answer.status}")
    return body.decode(errors="replace")


def _read(text: str) -> Reading:
    try:
        return read_metrics(text)
    except ValueError as problem:
        raise AdminUnreachable(str(problem)) from None


def _admin_url(settings: Settings) -> str:
    host = _EVERYWHERE.get(settings.admin.host, settings.admin.host)
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.admin.port}"


def _screen(seen: _Seen, last: _Seen | None, now: float) -> RenderableType:
    reading = seen.reading
    before = last.reading if last is not None else None
    seconds = seen.at - last.at if last is not None else 0.0
    decided = Table("decision", "reason", "total", "per second", title="Decisions")
    _right(decided, 2, 3)
    for (outcome, reason), count in sorted(reading.decisions.items(), reverse=True):
        if count or outcome == "granted":
            old = None if before is None else before.decisions.get((outcome, reason), 0.0)
            decided.add_row(outcome, reason, f"{count:.0f}", _rate(count, old, seconds))
    cuts = Table("cut because", "total", "per second", title="Streams cut")
    _right(cuts, 1, 2)
    for reason, count in sorted(reading.cuts.items()):
        old = None if before is None else before.cuts.get(reason, 0.0)
        cuts.add_row(reason, f"{count:.0f}", _rate(count, old, seconds))
    return Group(decided, cuts, _state(reading, now))


def _state(reading: Reading, now: float) -> Table:
    state = Table("what", "how it is", title="State")
    proven = f"proven {_age(reading.proven_at, now)}" if reading.proven_at else "never proven"
    live = "[green]live[/]" if reading.is_live else "[bold red]not live[/]"
    state.add_row("account view", f"{live}, {proven}")
    for issuer, keys in sorted(reading.keys.items()):
        loaded = f", loaded {_age(keys.loaded_at, now)}" if keys.loaded_at else ""
        state.add_row(f"keys of {escape(issuer)}", f"{keys.number}{loaded}")
    for kind, number in sorted(reading.in_flight.items()):
        state.add_row(f"in flight, {kind}", f"{number:.0f}")
    return state


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
