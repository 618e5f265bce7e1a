"""What a flood of bad tokens does to those who have good ones (bar 37).

``make bench-overload``: 300 good requests a second, alone and then beside a flood of tokens with a
bad signature, each another one, so that each costs a verification. Good requests wait from the
moment at which they were due. The bar: their p99 is at most twice that without the flood. The flood
and the client need cores of their own: where there are too few, what is measured is mostly that.
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from tests.bench.peers import nginx
from tests.bench.peers.peer import SUBJECT
from tests.bench.processes import cpu_seconds
from tests.bench.site import bench_site
from tests.bench.tokens import distinct, with_bad_signature, write_tokens
from tests.e2e.processes import running_sidecar

_PATH = "/api/100"
_GOOD, _GOOD_CONNECTIONS = 300, 32
_BAD_CONNECTIONS = 64


@dataclass(frozen=True, slots=True)
class Figures:
    """One load: what the good ones got, the bad ones, and the sidecar's CPU for both."""

    good: dict[str, Any]
    bad: dict[str, Any] | None
    cpu: float

    def line(self, title: str, seconds: float) -> str:
        good, bad = self.good, self.bad
        flood = "-" if bad is None else f"{bad['rate']:.0f}"
        return (
            f"{title:24}{flood:>8}{good['p50']:10.2f}{good['p99']:10.2f}{good['sent_p99']:10.2f}"
            f"{100 * self.cpu / seconds:8.0f} %   {told(good)} | {told(bad or {})}"
        )


def told(figures: dict[str, Any]) -> str:
    statuses = dict(figures.get("statuses", {}))
    if figures.get("unanswered"):
        statuses["unanswered"] = figures["unanswered"]
    return ", ".join(f"{number} x {status}" for status, number in sorted(statuses.items()))


async def paced(url: str, tokens: Path, rate: int, seconds: int, connections: int) -> Any:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.bench.paced",
        url, _PATH, str(tokens), str(rate), str(seconds), str(connections),
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    return json.loads((await process.communicate())[0])


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


async def load(url: str, pid: int, files: tuple[Path, Path], bad: int, seconds: int) -> Figures:
    before = cpu_seconds(pid)
    good_ones = paced(url, files[0], _GOOD, seconds, _GOOD_CONNECTIONS)
    if not bad:
        return Figures(await good_ones, None, cpu_seconds(pid) - before)
    bad_ones = paced(url, files[1], bad, seconds, _BAD_CONNECTIONS)
    got = await asyncio.gather(good_ones, bad_ones)
    return Figures(got[0], got[1], cpu_seconds(pid) - before)


async def main(rates: list[int], workers: int, seconds: int) -> None:
    async with AsyncExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        site = await stack.enter_async_context(bench_site("RS256"))
        await site.set_status(SUBJECT, "active")
        upstream = await stack.enter_async_context(nginx.running_upstream(directory))
        good = write_tokens(directory / "good", list(distinct(site, 50)))
        forged = [with_bad_signature(each) for each in distinct(site, 20_000)]
        bad = write_tokens(directory / "bad", forged)
        sidecar = await stack.enter_async_context(
            running_sidecar(site.settings(upstream, workers=workers), directory)
        )
        print(f"{workers} worker(s), {os.cpu_count()} cores, {_GOOD} good requests a second")
        print(f"{'':24}{'bad/s':>8}{'p50 ms':>10}{'p99 ms':>10}{'sent p99':>10}{'CPU':>10}")
        idle = 0.0
        for rate in (0, *rates):
            files = (good, bad)
            before = await denials(sidecar.admin_url)
            figures = await load(sidecar.url, sidecar.process.pid, files, rate, seconds)
            print(figures.line("alone" if not rate else f"+ {rate} bad/s", seconds), flush=True)
            idle = idle or figures.good["p99"]
            if rate:
                why = await denials(sidecar.admin_url) - before
                reasons = ", ".join(f"{number} {reason}" for reason, number in why.items())
                print(f"    p99 is {figures.good['p99'] / idle:.1f} times that alone; {reasons}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bad", type=int, nargs="+", default=[1000, 5000, 20000])
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--seconds", type=int, default=8)
    arguments = parser.parse_args()
    asyncio.run(main(arguments.bad, arguments.workers, min(60, arguments.seconds)))
