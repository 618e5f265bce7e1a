"""What clients see of restarts: rolling replacements, reloads, a killed and a stopped process.

300 requests a second on kept connections and 200 open streams, by clients that do what HTTP lets
them and no more (``correct_clients``), while

(a) one sidecar of four workers replaces another, again and again: the successor is ready, the one
    before it gets SIGTERM, is unready first, goes on for ``drain_seconds``, and ends;
(b) settings and the certificate are read anew by SIGHUP, over TLS;
(c) workers are killed with -9;
(d) all processes of it stand still for a while, in which an account is disabled;
(e) upstream ends one connection in fifty just as a request comes on it.

Two sidecars are no two processes on one port: a sidecar refuses a port that another one has, and
replicas have addresses of their own where they are deployed. So a balancer that follows ``/readyz``
stands in between, of connections and not of octets, as that of a Kubernetes service.

It fails where a request failed that a correct client would see (in (c): on a connection of another
worker's), a stream ended early or looks complete, a stale grant was given, a POST came to upstream
twice, or anything else than a POST was lost in (e).
"""

import argparse
import asyncio
import os
import shutil
import signal
import ssl
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from tests.app.test_tls import Certificates
from tests.bench.correct_clients import Balancer, Count, Crowd, Replica
from tests.bench.processes import family
from tests.bench.restart_upstream import RestartUpstream, restart_upstream
from tests.bench.site import Site, bench_site
from tests.chaos.load import Load
from tests.e2e.processes import Sidecar, running_sidecar
from tests.e2e.test_reloading import reload
from tests.e2e.test_workers import pids
from tests.fakes.connections_of import ports_of, stop
from tests.fakes.waiting import until, until_async

_WORKERS = 4
_RATE = 300.0
_CLIENTS = 75
_STREAMS = 200
_DRAIN_SECONDS = 2.0
_SHUTDOWN_SECONDS = 8.0
_BAR_DRAIN_SECONDS = 60.0
_SUBJECT, _LEAVING = "robot-0", "robot-1"
_STALENESS = 0.5
# Longer than in production: clients, servers and two sidecars of four workers share a few cores,
# and who gets none of them for a while must refuse.
_PATIENT = {"max_staleness": 3.0, "read_timeout": 1.0}


@dataclass
class Bench:
    """What stands around the sidecars, and what was found wrong."""

    site: Site
    upstream: RestartUpstream
    directory: Path
    tasks: asyncio.TaskGroup
    problems: list[str] = field(default_factory=list)
    drains: list[float] = field(default_factory=list)
    stalls: int = 0
    denied: Counter[str] = field(default_factory=Counter)

    def settings(self, accounts: dict[str, Any] = _PATIENT, **listen: Any) -> dict[str, Any]:
        address = {"host": "127.0.0.1", "port": 0, **listen}
        ends = {"drain_seconds": _DRAIN_SECONDS, "shutdown_seconds": _SHUTDOWN_SECONDS}
        return self.site.settings(
            self.upstream.url,
            workers=_WORKERS,
            listen={**address, **ends},
            accounts={"url": self.site.redis.url, **accounts},
            log={"decisions": "denied"},
        )

    def judge(self, name: str, count: Count, spared: Iterable[int] = ()) -> None:
        """Print what came of a part; what concerns only ``spared`` ports is nobody's fault."""
        mine = set(spared)
        failed = Counter(why for port, why in count.failed if port not in mine)
        lost = Counter(how for port, how in count.lost if port not in mine)
        own = sum(port in mine for port, _ in (*count.failed, *count.lost))
        print(
            f"{name:<22} {count.answered:>7} answered, {count.retried} retried,"
            f" {failed.total()} failed, {lost.total()} streams lost;"
            f" ended {dict(count.streams)}" + (f"; {own} were the killed one's" if mine else ""),
            flush=True,
        )
        self.problems += [f"{name}: {times} x {what}" for what, times in (failed + lost).items()]


@dataclass
class Running:
    """A sidecar that runs until it ends by itself, and the balancer's view of it."""

    sidecar: Sidecar
    replica: Replica
    following: asyncio.Task[None]


async def start(bench: Bench, balancer: Balancer, settings: dict[str, Any], name: str) -> Running:
    """Start a sidecar and wait until new connections go to it."""
    place = bench.directory / name
    place.mkdir()
    ready: asyncio.Future[Sidecar] = asyncio.get_running_loop().create_future()

    async def live() -> None:
        async with running_sidecar(settings, place) as sidecar:
            ready.set_result(sidecar)
            await sidecar.process.wait()

    bench.tasks.create_task(live())
    sidecar = await ready
    replica = Replica(sidecar.url, sidecar.admin_url)
    following = bench.tasks.create_task(balancer.follow(replica))
    await until(lambda: replica in balancer.ready)
    return Running(sidecar, replica, following)


async def end(bench: Bench, running: Running) -> float:
    """Tell it to end; return the seconds until it has."""
    loop = asyncio.get_running_loop()
    told = loop.time()
    running.replica.told.append(told)
    running.sidecar.process.send_signal(signal.SIGTERM)
    if await running.sidecar.process.wait():
        raise SystemExit("a sidecar failed:\n" + "".join(running.sidecar.output[-20:]))
    bench.denied.update(str(each.get("reason")) for each in running.sidecar.decisions)
    bench.stalls += sum("stood still" in line for line in running.sidecar.output)
    running.following.cancel()
    return loop.time() - told


@asynccontextmanager
async def crowded(bench: Bench, balancer: Balancer) -> AsyncIterator[Crowd]:
    """Let all clients come, and go with the end of the block."""
    crowd = Crowd(balancer, bench.site.token(_SUBJECT), _SHUTDOWN_SECONDS)
    running = bench.tasks.create_task(crowd.run(_RATE, _CLIENTS, _STREAMS))
    await asyncio.sleep(3.0)
    yield crowd
    crowd.is_over = True
    await running


async def replace(bench: Bench, times: int) -> None:
    balancer = Balancer()
    running = await start(bench, balancer, bench.settings(), "0")
    async with crowded(bench, balancer) as crowd:
        for number in range(1, times + 1):
            successor = await start(bench, balancer, bench.settings(), str(number))
            bench.drains.append(await end(bench, running))
            running = successor
    await end(bench, running)
    longest = max(bench.drains)
    bench.judge(f"(a) {times} replacements", crowd.count)
    print(f"{'':<22} drained in {min(bench.drains):.1f} to {longest:.1f} s")
    if longest > _BAR_DRAIN_SECONDS:
        bench.problems.append(f"a drain took {longest:.1f} s")
    if bench.upstream.duplicates:
        bench.problems.append(f"{bench.upstream.duplicates} POSTs came twice")


async def read_anew(bench: Bench, times: int) -> None:
    served = Certificates(bench.directory, "served")
    other = Certificates(bench.directory, "other")
    believes = ssl.create_default_context(cafile=served.ca)
    believes.load_verify_locations(other.ca)
    tls = {"certificate": str(served.certificate), "key": str(served.key)}
    settings, balancer = bench.settings(tls=tls), Balancer(tls=believes)
    running = await start(bench, balancer, settings, "reloaded")
    place = bench.directory / "reloaded"
    async with crowded(bench, balancer) as crowd:
        for number in range(times):
            if number % 2:
                shutil.copy(other.certificate, served.certificate)
                shutil.copy(other.key, served.key)
            changed = {**settings, "log": {"decisions": "denied", "level": "info"}}
            running.replica.told.append(asyncio.get_running_loop().time())
            await reload(running.sidecar, place, changed if number % 2 else settings)
            await asyncio.sleep(2.0)
        await asyncio.sleep(_DRAIN_SECONDS + _SHUTDOWN_SECONDS)
    await end(bench, running)
    bench.judge(f"(b) {times} reloads, TLS", crowd.count)


async def kill_workers(bench: Bench, times: int) -> None:
    balancer = Balancer()
    running = await start(bench, balancer, bench.settings(), "killed")
    loop, took, spared = asyncio.get_running_loop(), [], set()
    async with crowded(bench, balancer) as crowd:
        for _ in range(times):
            # The eldest: one that dies young again and again is replaced after longer and longer.
            victim = pids(running.sidecar)[0]
            await stop(victim)  # so that it takes no more meanwhile
            spared |= ports_of(victim)
            began = loop.time()
            os.kill(victim, signal.SIGKILL)
            await until(lambda victim=victim: victim not in pids(running.sidecar))  # type: ignore[misc]
            await until_complete(running)
            took.append(loop.time() - began)
            await asyncio.sleep(3.0)
    await end(bench, running)
    bench.judge(f"(c) {times} workers killed", crowd.count, spared)
    print(f"{'':<22} back after {', '.join(f'{each:.2f}' for each in took)} s")
    if max(took) > 1:
        bench.problems.append(f"a worker was back after {max(took):.2f} s")


async def until_complete(running: Running) -> None:
    """Wait until every worker is ready."""
    async with aiohttp.ClientSession() as http:

        async def are_ready() -> bool:
            async with http.get(running.sidecar.admin_url + "/readyz") as response:
                checks = (await response.json())["checks"]
            return all(checks.get(f"worker {number}") for number in range(_WORKERS))

        await until_async(are_ready)


async def stop_for(bench: Bench, seconds: float) -> None:
    balancer = Balancer()
    settings = bench.settings({"max_staleness": _STALENESS})
    running = await start(bench, balancer, settings, "stopped")
    where = urlsplit(running.replica.url)
    tokens = {name: bench.site.token(name) for name in (_SUBJECT, _LEAVING)}
    load = Load((where.hostname or "", where.port or 0), tokens)
    asking = bench.tasks.create_task(load.run())
    await until(lambda: len(load.answers) > 200)
    processes = list(family(running.sidecar.process.pid))
    for pid in processes:
        os.kill(pid, signal.SIGSTOP)
    await bench.site.set_status(_LEAVING, "inactive")
    loop = asyncio.get_running_loop()
    gone_at = loop.time()
    await asyncio.sleep(seconds)
    for pid in processes:
        os.kill(pid, signal.SIGCONT)
    resumed = loop.time()
    await until(lambda: any(each.status == 200 for each in load.of(_SUBJECT, resumed)), 30)
    back = loop.time() - resumed
    await asyncio.sleep(2.0)
    load.is_stopped = True
    await asking
    await end(bench, running)
    late = [each for each in load.of(_LEAVING, gone_at + _STALENESS) if each.status == 200]
    statuses = Counter(each.status for each in load.answers if each.done >= resumed)
    print(
        f"(d) stopped for {seconds:g} s     {len(late)} grants on a stale status;"
        f" good ones granted {back:.2f} s after it went on; answers since {dict(statuses)}"
    )
    if late:
        bench.problems.append(f"{len(late)} grants on a stale status")


async def lose_upstream(bench: Bench, seconds: float) -> None:
    balancer, upstream = Balancer(), bench.upstream
    running = await start(bench, balancer, bench.settings(), "upstream")
    upstream.posts.clear()
    async with crowded(bench, balancer) as crowd:
        upstream.share = 0.02
        await asyncio.sleep(seconds)
        upstream.share = 0.0
    await end(bench, running)
    count, broken = crowd.count, upstream.broken
    failed = Counter(why for _, why in count.failed)
    print(
        f"(e) upstream breaks off {count.answered:>6} answered; broken off {dict(broken)}:"
        f" failed {dict(failed)}, {upstream.duplicates} POSTs twice"
    )
    if failed != Counter({"status 502": broken["POST"]}):
        bench.problems.append(f"of {dict(broken)} that were broken off there failed {dict(failed)}")
    if upstream.duplicates:
        bench.problems.append(f"{upstream.duplicates} POSTs came twice")


async def main(replacements: int, reloads: int, kills: int, stopped: float, losing: float) -> None:
    async with AsyncExitStack() as stack:
        site = await stack.enter_async_context(bench_site())
        for subject in (_SUBJECT, _LEAVING):
            await site.set_status(subject, "active")
        upstream = await stack.enter_async_context(restart_upstream())
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        async with asyncio.TaskGroup() as tasks:
            bench = Bench(site, upstream, directory, tasks)
            print(f"{_RATE:g} requests a second, {_STREAMS} open streams, {_WORKERS} workers")
            if replacements:
                await replace(bench, replacements)
            if reloads:
                await read_anew(bench, reloads)
            if kills:
                await kill_workers(bench, kills)
            if stopped:
                await stop_for(bench, stopped)
            if losing:
                await lose_upstream(bench, losing)
        print(f"refused, those of (d) included: {dict(bench.denied)}")
        print(f"event loops stood still {bench.stalls} times, for want of CPU if for anything")
        for each in bench.problems:
            print(f"WRONG: {each}")
        if bench.problems:
            sys.exit(1)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--replacements", type=int, default=20)
    parser.add_argument("--reloads", type=int, default=8)
    parser.add_argument("--kills", type=int, default=8)
    parser.add_argument("--stopped", type=float, default=10.0)
    parser.add_argument("--losing", type=float, default=20.0)
    given = parser.parse_args()
    asyncio.run(main(given.replacements, given.reloads, given.kills, given.stopped, given.losing))
