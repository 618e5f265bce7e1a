"""What real views and real sidecars cost the Redis they hang on, and crowds at a view's pace."""

import asyncio
import re
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from sidecar.adapters.redis_accounts import RedisAccountView
from sidecar.adapters.view_policy import ViewPolicy
from sidecar.ports import Change
from tests.adapters.test_redis_accounts import running_view
from tests.bench.fleet_crowd import ACCOUNT, PING, ROLE, Crowd, Gauge, packed, write
from tests.bench.site import bench_site
from tests.e2e.processes import running_sidecar
from tests.fakes.waiting import until

POLICY = ViewPolicy()
_NOT_OURS = ("info", "client|list")


@dataclass(frozen=True, slots=True)
class Beats:
    """What a fleet at rest costs: of the server's main thread, in a second."""

    connections: int
    commands: float
    load: float
    turns: float


async def settled(gauge: Gauge, connections: int, seconds: float) -> Beats:
    """Look at what hangs on the server for some seconds."""
    began, before, turns = time.monotonic(), commands(gauge), cycles(gauge)
    cpu = -gauge.seconds()
    await asyncio.sleep(seconds)
    cpu += gauge.seconds()
    lasted = time.monotonic() - began
    asked = commands(gauge) - before
    return Beats(connections, asked / lasted, cpu / lasted, asked / max(1, cycles(gauge) - turns))


def commands(gauge: Gauge) -> int:
    return int(gauge.info("stats")["total_commands_processed"])


def cycles(gauge: Gauge) -> int:
    return int(gauge.info("stats")["eventloop_cycles"])


def by_command(gauge: Gauge) -> dict[str, int]:
    """Return how many calls there were of each command that is not the bench's."""
    stats = gauge.info("commandstats")
    calls = {name.removeprefix("cmdstat_"): each["calls"] for name, each in stats.items()}
    return {name: number for name, number in calls.items() if name not in _NOT_OURS}


def difference(before: dict[str, int], after: dict[str, int], each: int) -> str:
    more = {name: number - before.get(name, 0) for name, number in after.items()}
    return ", ".join(f"{name} {more[name] / each:.1f}" for name in sorted(more) if more[name])


def memory_of_clients(gauge: Gauge) -> tuple[int, int]:
    """Return how many bytes one tracking client holds in Redis: the mean and the most."""
    held = [
        int(found[1])
        for line in gauge.say("CLIENT", "LIST").splitlines()
        if b"flags=tB" in line and (found := re.search(rb"tot-mem=(\d+)", line))
    ]
    return sum(held) // max(1, len(held)), max(held, default=0)


def paced(gauge: Gauge, crowd: Crowd, seconds: float) -> Beats:
    """Have the crowd beat as views do: PING at the heartbeat, ROLE at a quarter of the lease."""
    began, before, turns = time.monotonic(), commands(gauge), cycles(gauge)
    cpu = -gauge.seconds()
    loops = [
        (packed(*PING), POLICY.heartbeat, 0),
        (packed(*ROLE), POLICY.max_staleness / 4, 0),
    ]
    descriptors = crowd.descriptors()
    while (now := time.monotonic() - began) < seconds:
        for place, (message, period, sent) in enumerate(loops):
            due = int(now * len(crowd) / period)
            for turn in range(sent, due):
                crowd.send_one(descriptors[turn % len(descriptors)], message)
            loops[place] = (message, period, due)
        crowd.drain(0.001)
    cpu += gauge.seconds()
    lasted = time.monotonic() - began
    asked = commands(gauge) - before
    return Beats(len(crowd), asked / lasted, cpu / lasted, asked / max(1, cycles(gauge) - turns))


@dataclass(frozen=True, slots=True)
class Real:
    """What was measured of 16 views, and of four sidecars as processes of their own."""

    views: Beats
    connecting: str
    connect_cpu: float
    resting: str
    memory: int
    heard: Sequence[float]
    sidecars: Beats
    sidecars_resting: str


@asynccontextmanager
async def views_on(url: str, number: int) -> AsyncIterator[list[RedisAccountView]]:
    async with AsyncExitStack() as stack:
        views = [await stack.enter_async_context(running_view(url, POLICY)) for _ in range(number)]
        await until(lambda: all(each.is_live() for each in views))
        yield views


async def last_hears(gauge: Gauge, views: Sequence[RedisAccountView], rounds: int) -> list[float]:
    """Return how long after the beginning of a write the last of the views had heard of it."""
    heard: list[float] = []

    def note(change: Change) -> None:
        if change.subject is not None:
            heard.append(time.monotonic())

    for view in views:
        view.watch(note)
    seconds = []
    for turn in range(rounds):
        heard.clear()
        began = time.monotonic()
        await asyncio.to_thread(write, gauge, turn)
        await until(lambda: len(heard) >= len(views))
        seconds.append(max(heard) - began)
    return sorted(seconds)


async def measure_real(views: int, sidecars: int, seconds: float) -> Real:
    async with bench_site() as site:
        assert site.redis.pid is not None
        gauge = Gauge(site.redis.port, site.redis.pid)
        gauge.client.hset(ACCOUNT, mapping={"status": "active"})
        before, cpu = by_command(gauge), -gauge.seconds()
        async with views_on(site.redis.url, views) as running:
            cpu += gauge.seconds()
            at_first = by_command(gauge)
            beats = await settled(gauge, views, seconds)
            resting = by_command(gauge)
            memory, _ = memory_of_clients(gauge)
            heard = await last_hears(gauge, running, 30)
        async with AsyncExitStack() as stack:
            for _ in range(sidecars):
                directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
                settings = site.settings("http://127.0.0.1:9")
                await stack.enter_async_context(running_sidecar(settings, directory))
            started = by_command(gauge)
            processes = await settled(gauge, sidecars, seconds)
            ended = by_command(gauge)
        return Real(
            views=beats,
            connecting=difference(before, at_first, views),
            connect_cpu=cpu / views,
            resting=difference(at_first, resting, views),
            memory=memory,
            heard=heard,
            sidecars=processes,
            sidecars_resting=difference(started, ended, sidecars),
        )
