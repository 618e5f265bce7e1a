"""What a flood of bad tokens does to those who have good ones (bar 37).

``make bench-overload``: 300 good requests a second, alone and then beside a flood of bad tokens,
each another one, in turns. The bars: with the flood the 99th percentile of the good ones is at most
twice that without, all of them are granted, and one bad token costs at most 100 us of CPU.

What the clients are late by themselves is told apart (``paced``). With one worker and more than one
core the sidecar has a core to itself, and the others leave it alone: else what is measured is, on a
small machine, mostly who gets a core.
"""

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from tests.bench.bad_token_kinds import KINDS
from tests.bench.peers import nginx
from tests.bench.peers.peer import SUBJECT
from tests.bench.processes import cpu_seconds, family
from tests.bench.site import Site, bench_site
from tests.bench.tokens import distinct, write_tokens
from tests.e2e.processes import Sidecar, running_sidecar

_PATH = "/api/100"
_GOOD, _GOOD_CONNECTIONS = 300, 32
_BAD_CONNECTIONS = 64
_NICE = 19  # the flood's client: to be late is its own affair
_MOST_TIMES, _MOST_MICROSECONDS = 2.0, 100.0


@dataclass(frozen=True, slots=True)
class Figures:
    """One load: what the good ones got, the bad ones, and the sidecar's CPU for both."""

    good: dict[str, Any]
    bad: dict[str, Any] | None
    cpu: float


@dataclass(frozen=True, slots=True)
class Options:
    """What is measured, and for how long."""

    rates: Sequence[int]
    kinds: Sequence[str]
    workers: int
    seconds: int
    rounds: int


def told(figures: dict[str, Any]) -> str:
    statuses = dict(figures.get("statuses", {}))
    if figures.get("unanswered"):
        statuses["unanswered"] = figures["unanswered"]
    return ", ".join(f"{number} x {status}" for status, number in sorted(statuses.items()))


async def paced(
    url: str, tokens: Path, rate: int, seconds: int, connections: int, nice: int = 0
) -> dict[str, Any]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.bench.paced",
        url, _PATH, str(tokens), str(rate), str(seconds), str(connections),
        stdout=asyncio.subprocess.PIPE, preexec_fn=partial(os.nice, nice),
    )  # fmt: skip
    found: dict[str, Any] = json.loads((await process.communicate())[0])
    return found


async def denials(admin_url: str) -> Counter[str]:
    """Return how many requests were refused so far, by reason."""
    async with aiohttp.ClientSession() as http, http.get(admin_url + "/metrics") as response:
        text = await response.text()
    return Counter(
        {
            sample.labels["reason"]: int(sample.value)
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == "sidecar_decisions_total" and sample.labels["outcome"] == "denied"
        }
    )


class Bench:
    """A sidecar under load. ``idle`` is what was measured without a flood."""

    def __init__(self, sidecar: Sidecar, good: Path, options: Options) -> None:
        self._sidecar = sidecar
        self._good = good
        self._options = options
        self._idle: list[Figures] = []

    async def measure(self, kind: str, tokens: Path, rate: int, rounds: int) -> None:
        """Print what a flood of this kind does, from rounds with and without it in turn."""
        flooded = []
        before = await denials(self._sidecar.admin_url)
        for _ in range(rounds):
            self._idle.append(await self._load(None, 0))
            flooded.append(await self._load(tokens, rate))
        why = await denials(self._sidecar.admin_url) - before
        self._print(kind, rate, flooded, ", ".join(f"{why[each]} {each}" for each in why))

    async def _load(self, bad: Path | None, rate: int) -> Figures:
        url, seconds, pid = self._sidecar.url, self._options.seconds, self._sidecar.process.pid
        before = cpu_seconds(pid)
        good_ones = paced(url, self._good, _GOOD, seconds, _GOOD_CONNECTIONS)
        if bad is None:
            return Figures(await good_ones, None, cpu_seconds(pid) - before)
        bad_ones = paced(url, bad, rate, seconds, _BAD_CONNECTIONS, _NICE)
        got = await asyncio.gather(good_ones, bad_ones)
        return Figures(got[0], got[1], cpu_seconds(pid) - before)

    def _print(self, kind: str, rate: int, flooded: list[Figures], why: str) -> None:
        idle = {name: _median(self._idle, name) for name in ("p50", "p99", "late_p99")}
        busy = {name: _median(flooded, name) for name in ("p50", "p99", "late_p99")}
        cpu = statistics.median(each.cpu for each in self._idle)
        answered = [each.bad["rate"] * self._options.seconds for each in flooded if each.bad]
        each_bad = statistics.median(
            (figures.cpu - cpu) / number * 1e6
            for figures, number in zip(flooded, answered, strict=True)
        )
        times = busy["p99"] / idle["p99"]
        good = ", ".join(told(each.good) for each in flooded)
        print(
            f"{kind:16}{rate:>7}/s{idle['p50']:9.2f}{busy['p50']:9.2f}{idle['p99']:9.2f}"
            f"{busy['p99']:9.2f}{times:7.1f} x{busy['late_p99']:9.2f}{each_bad:9.0f} us   {why}"
        )
        print(f"{'':16}good: {good}; flood: {', '.join(told(each.bad or {}) for each in flooded)}")
        if times > _MOST_TIMES or each_bad > _MOST_MICROSECONDS:
            print(f"{'':16}MISSED: at most {_MOST_TIMES:.0f} x, {_MOST_MICROSECONDS:.0f} us")


def _median(figures: Iterable[Figures], name: str) -> float:
    return statistics.median(float(each.good[name]) for each in figures)


def give_cores(pid: int, workers: int) -> None:
    """Let a sidecar of one process have a core, and this process and its others the rest."""
    cores = sorted(os.sched_getaffinity(0))
    if workers > 1 or len(cores) == 1:
        return
    ours = set(family(pid))
    for each in family(os.getpid()):
        for thread in Path(f"/proc/{each}/task").iterdir():
            os.sched_setaffinity(int(thread.name), cores[:1] if each in ours else cores[1:])


async def measure(site: Site, directory: Path, options: Options) -> None:
    async with AsyncExitStack() as stack:
        upstream = await stack.enter_async_context(nginx.running_upstream(directory))
        # Bad tokens with good signatures take turns: so few are remembered that each is new.
        limits = {"remembered_tokens": 1000}
        settings = site.settings(upstream, workers=options.workers, limits=limits)
        sidecar = await stack.enter_async_context(running_sidecar(settings, directory))
        give_cores(sidecar.process.pid, options.workers)
        good = write_tokens(directory / "good", list(distinct(site, 50)))
        print(
            f"{options.workers} worker(s), {os.cpu_count()} cores, {site.algorithm}, {_GOOD} good "
            f"requests a second; ms: alone, beside the flood"
        )
        print(
            f"{'':25}{'p50':>9}{'p50':>9}{'p99':>9}{'p99':>9}{'':9}{'late p99':>9}{'CPU/bad':>12}"
        )
        bench = Bench(sidecar, good, options)
        for kind in options.kinds:
            tokens = write_tokens(directory / "bad", list(KINDS[kind](site)))
            # Only a flood that costs the most shows what it does to others.
            rounds = options.rounds if kind == options.kinds[0] else 1
            for rate in options.rates if rounds == options.rounds else options.rates[:1]:
                await bench.measure(kind, tokens, rate, rounds)


async def main(algorithm: Any, runs: Sequence[Options]) -> None:
    for options in runs:
        with tempfile.TemporaryDirectory() as directory:
            async with bench_site(algorithm) as site:
                await site.set_status(SUBJECT, "active")
                await measure(site, Path(directory), options)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bad", type=int, nargs="+", default=[5000])
    parser.add_argument("--kinds", nargs="+", choices=list(KINDS), default=list(KINDS))
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--algorithm", choices=["RS256", "ES256"], default="RS256")
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    seconds, rounds = min(60, arguments.seconds), min(20, arguments.rounds)
    asyncio.run(
        main(
            arguments.algorithm,
            [
                Options(arguments.bad, arguments.kinds, workers, seconds, rounds)
                for workers in arguments.workers
            ],
        )
    )
