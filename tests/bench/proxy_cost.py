"""What a request costs: the sidecar beside its peers, one worker each, in one run.

All stand before the same upstream with the same tokens. RS256 in the common tables, since Apache's
module reads no other key from a file; the algorithms are compared in tables of their own.
"""

import argparse
import asyncio
import resource
import tempfile
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from tests.bench import load as wrk
from tests.bench.event_streams import measure_event_streams
from tests.bench.first_sight import measure_first_sight
from tests.bench.load import Case, Expected, load_in_turn
from tests.bench.peers import apache, bare, envoy, haproxy, nginx, ours
from tests.bench.peers.peer import REMEMBERED_TOKENS, SUBJECT, Peer, Runner, Scene, make_scene
from tests.bench.processes import Missing
from tests.bench.report import RESULTS, Report
from tests.bench.site import bench_site
from tests.bench.tokens import distinct, expired, garbage, with_bad_signature, write_tokens

MAIN = "100 B, 32 connections, one token"
_MAIN_ROUNDS, _MAIN_SECONDS = 4, 3
_ROUNDS, _SECONDS = 3, 2
_DISTINCT = 10_000
# So that each of the tokens was seen before the first round.
_DISTINCT_WARM_SECONDS = 5

_COMMON: tuple[Runner, ...] = (
    ours.running_ours,
    ours.running_ours_compiled,
    envoy.running_envoy,
    envoy.running_envoy_without_cache,
    haproxy.running_haproxy,
    apache.running_apache,
    nginx.running_nginx,
    bare.running_bare,
)
_WITH_STREAMS: tuple[Runner, ...] = (
    ours.running_ours,
    envoy.running_envoy,
    haproxy.running_haproxy,
    nginx.running_nginx,
    bare.running_bare,
)
_WITH_BODIES = (ours.NAME, ours.COMPILED, envoy.CACHED, nginx.NAME, nginx.TUNED)


@dataclass(frozen=True, slots=True)
class Bench:
    scene: Scene
    peers: Sequence[Peer]
    report: Report

    @property
    def checking(self) -> Sequence[Peer]:
        return [peer for peer in self.peers if peer.checks]

    async def compare(
        self, case: Case, peers: Sequence[Peer] | None = None, warm_seconds: int = 0
    ) -> None:
        chosen = self.peers if peers is None else peers
        try:
            samples = await load_in_turn(chosen, case, _ROUNDS, _SECONDS, warm_seconds)
        except SystemExit as broken:
            # One case that cannot be measured must not take the others with it.
            self.report.skip(str(broken))
            return
        self.report.compare(case.title, samples)

    def tokens(self, name: str, *tokens: str) -> Path:
        return write_tokens(self.scene.directory / name, tokens)


async def start(
    stack: AsyncExitStack, scene: Scene, runners: Sequence[Runner], report: Report
) -> list[Peer]:
    peers = []
    for runner in runners:
        try:
            peers.append(await stack.enter_async_context(runner(scene)))
        except Missing as missing:
            report.skip(str(missing))
    return peers


async def check_that_they_check(bench: Bench) -> None:
    """Raises SystemExit where a peer grants what it is said to refuse, or refuses what is good."""
    site = bench.scene.site
    good = site.token(SUBJECT)
    bad = {
        "a bad signature": with_bad_signature(good),
        "an expired token": expired(site),
        "no token": garbage(),
    }
    async with aiohttp.ClientSession() as http:

        async def status(peer: Peer, token: str) -> int:
            headers = {"Authorization": f"Bearer {token}"}
            async with http.get(f"{peer.url}/api/100", headers=headers) as response:
                return response.status

        for peer in bench.peers:
            if await status(peer, good) != 200:
                raise SystemExit(f"{peer.name} refuses a good token")
            for what, token in bad.items():
                if peer.checks and await status(peer, token) != 401:
                    raise SystemExit(f"{peer.name} is fine with {what}: it checks nothing")


async def measure_connections(bench: Bench) -> None:
    one = bench.tokens("one", bench.scene.site.token(SUBJECT))
    for number in (1, 256):
        await bench.compare(Case(f"100 B, connections: {number}", one, connections=number))


async def measure_bodies(bench: Bench) -> None:
    one = bench.tokens("one", bench.scene.site.token(SUBJECT))
    peers = [peer for peer in bench.peers if peer.name in _WITH_BODIES]
    for name, path in (("10 kB", "/api/10k"), ("1 MB", "/api/1m")):
        await bench.compare(Case(f"{name} down", one, path=path), peers)
    for name, octets in (("100 B", 100), ("10 kB", 10_000), ("1 MB", 1_000_000)):
        case = Case(f"{name} up", one, path="/api/upload", body_bytes=octets)
        await bench.compare(case, peers)


async def measure_many_tokens(bench: Bench) -> None:
    file = bench.tokens("many", *distinct(bench.scene.site, _DISTINCT))
    case = Case(f"100 B, {_DISTINCT} tokens in turn", file)
    await bench.compare(case, bench.checking, _DISTINCT_WARM_SECONDS)


async def measure_denied(bench: Bench) -> None:
    site = bench.scene.site
    for what, token in (
        ("bad signature", with_bad_signature(site.token(SUBJECT))),
        ("garbage", garbage()),
        ("expired", expired(site)),
    ):
        file = bench.tokens("bad", token)
        case = Case(f"Denied: {what}", file, expected=Expected.REFUSED)
        await bench.compare(case, bench.checking)
        cost = bench.report.ratio(case.title, ours.NAME, ours.NAME, MAIN)
        bench.report.bar(f"denied ({what}) / granted", cost, 1.0)


async def measure_main(bench: Bench) -> None:
    case = Case(MAIN, bench.tokens("one", bench.scene.site.token(SUBJECT)))
    samples = await load_in_turn(bench.peers, case, _MAIN_ROUNDS, _MAIN_SECONDS)
    report = bench.report
    report.compare(MAIN, samples)
    for name, granted in ((ours.NAME, "granted"), (ours.COMPILED, "granted, compiled")):
        report.bar(f"{granted} / Envoy with cache", report.ratio(MAIN, name, envoy.CACHED), 1.0)
        report.bar(f"{granted} / bare aiohttp proxy", report.ratio(MAIN, name, bare.NAME), 0.35)


async def measure_variations(bench: Bench) -> None:
    await measure_connections(bench)
    await measure_many_tokens(bench)
    await measure_denied(bench)


def hold_bodies_to_their_bar(report: Report) -> None:
    for title in ("1 MB down", "1 MB up"):
        for peer in (nginx.NAME, nginx.TUNED):
            report.bar(f"{title} / {peer}", report.ratio(title, ours.NAME, peer), 1.5)


async def main(*, quick: bool) -> None:
    # Two sockets a stream in each peer, which inherits the limit.
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    report = Report()
    async with AsyncExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        site = await stack.enter_async_context(bench_site("RS256"))
        await site.set_status(SUBJECT, "active")
        try:
            wrk.program()
            upstream = await stack.enter_async_context(nginx.running_upstream(directory))
        except Missing as missing:
            raise SystemExit(f"{missing}; the load and the upstream need it") from None
        scene = await make_scene(site, upstream, directory, REMEMBERED_TOKENS)
        async with AsyncExitStack() as common:
            bench = Bench(scene, await start(common, scene, _COMMON, report), report)
            await check_that_they_check(bench)
            await measure_main(bench)
            if not quick:
                await measure_variations(bench)
                tuned = await start(common, scene, (nginx.running_tuned_nginx,), report)
                await measure_bodies(Bench(scene, [*bench.peers, *tuned], report))
                hold_bodies_to_their_bar(report)
        if not quick:
            await measure_first_sight("ES256", upstream, report)
            await measure_first_sight("RS256", upstream, report)
            await measure_event_streams(scene, _WITH_STREAMS, report)
        text = await report.end()
    if not quick:
        RESULTS.write_text(text)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="the first table only; 2 minutes")
    asyncio.run(main(quick=parser.parse_args().quick))
