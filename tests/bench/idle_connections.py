"""What ten thousand idle connections do, and then the want of descriptors.

First 10,000 connections come on which no request does, and 500 more, for which there is no place.
Then the process is left with 256 descriptors, of which it has all; then another is started with no
more than those. It fails where health takes more than 100 ms, the sidecar spends more than a
twentieth of a core while nothing happens, or more than a second to recover.
"""

import argparse
import asyncio
import contextlib
import resource
import socket
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.bench.processes import cpu_seconds
from tests.bench.site import Site, bench_site, fixed_upstream, percentiles, resident_bytes
from tests.e2e.processes import Sidecar, running_sidecar
from tests.e2e.traffic import Traffic

_SUBJECT = "robot-0"
_FEW = 256
_TOO_MANY = 500
_WATCHED_SECONDS = 4.0
_MOST_HEALTH_SECONDS = 0.1
_MOST_CORES = 0.05
_MOST_RECOVERY_SECONDS = 1.0
# Of the machine, which has others to serve: each bar is on the middle of so many.
_TIMES = 25


@dataclass
class Kept:
    """A connection to the admin listener that was opened in good time."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def health(self) -> float:
        """Return how long the answer takes."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        self.writer.write(b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n")
        head = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 10)
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
        await self.reader.readexactly(length)
        assert head.startswith(b"HTTP/1.1 200 ")
        return loop.time() - began


class Bars:
    """What is asked for, and whether all of it held."""

    def __init__(self) -> None:
        self.failed = False

    def show(self, name: str, text: str, *, holds: bool = True) -> None:
        print(f"  {name:<34} {text}{'' if holds else '  MISSED'}", flush=True)
        self.failed = self.failed or not holds


async def main(number: int) -> None:
    bars = Bars()
    async with AsyncExitStack() as stack:
        site = await stack.enter_async_context(bench_site())
        await site.set_status(_SUBJECT, "active")
        upstream = await stack.enter_async_context(fixed_upstream())
        async with _sidecar(site, upstream, number) as sidecar:
            await _many(sidecar, site.token(_SUBJECT), number, bars)
        async with _sidecar(site, upstream, number, descriptors=_FEW) as sidecar:
            await _few(sidecar, site.token(_SUBJECT), bars)
    if bars.failed:
        sys.exit("idle connections are felt")


@asynccontextmanager
async def _sidecar(
    site: Site, upstream: str, number: int, descriptors: int | None = None
) -> AsyncIterator[Sidecar]:
    settings: dict[str, Any] = site.settings(upstream)
    settings["upstream"]["max_connections"] = 1000
    settings["listen"] |= {"max_connections": number, "idle_timeout": 600}
    settings["accounts"] |= {"max_staleness": 3.0, "read_timeout": 1.0}
    with tempfile.TemporaryDirectory() as directory:
        async with running_sidecar(settings, Path(directory), descriptors=descriptors) as sidecar:
            yield sidecar


async def _many(sidecar: Sidecar, token: str, number: int, bars: Bars) -> None:
    pid = sidecar.process.pid
    kept = Kept(*await asyncio.open_connection(*_address(sidecar.admin_url)))
    traffic = Traffic(sidecar.url, token)
    await traffic.ask_on_new_connections(5)
    before = resident_bytes(pid)
    print(f"{number} idle connections")
    with _idle() as connections:
        await connections.open(_address(sidecar.url), number - _TIMES)
        bars.show("memory for each", f"{(resident_bytes(pid) - before) / number / 1024:.1f} KiB")
        await _watch(sidecar, kept, bars)
        await _good(traffic, bars)
        await connections.open(_address(sidecar.url), _TIMES + _TOO_MANY)
        told = await connections.told(_TIMES + _TOO_MANY)
        bars.show("told to come back later", f"{told} of {_TOO_MANY}", holds=told == _TOO_MANY)
        print(f"the same, and {_FEW} descriptors")
        limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (_FEW, limits[1]))
        await connections.open(_address(sidecar.url), _TIMES)
        await _watch(sidecar, kept, bars, kept_only=True)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
    await _recover(sidecar, traffic, bars)
    kept.writer.close()


async def _few(sidecar: Sidecar, token: str, bars: Bars) -> None:
    kept = Kept(*await asyncio.open_connection(*_address(sidecar.admin_url)))
    traffic = Traffic(sidecar.url, token)
    await traffic.ask_on_new_connections(5)
    print(f"1000 idle connections to one that has {_FEW} descriptors from its beginning")
    with _idle() as connections:
        await connections.open(_address(sidecar.url), 1000)
        await _watch(sidecar, kept, bars)
    await _recover(sidecar, traffic, bars)
    kept.writer.close()


async def _watch(sidecar: Sidecar, kept: Kept, bars: Bars, *, kept_only: bool = False) -> None:
    """Ask for health, and look at what is spent while nobody does."""
    took = [await kept.health() for _ in range(_TIMES)]
    _show_health("health on a kept connection", took, bars)
    if not kept_only:
        took = [await _new_health(sidecar) for _ in range(_TIMES)]
        _show_health("health on new connections", took, bars)
    before = cpu_seconds(sidecar.process.pid)
    await asyncio.sleep(_WATCHED_SECONDS)
    cores = (cpu_seconds(sidecar.process.pid) - before) / _WATCHED_SECONDS
    bars.show("CPU while nothing happens", f"{cores:.3f} cores", holds=cores <= _MOST_CORES)
    assert sidecar.process.returncode is None


def _show_health(name: str, took: list[float], bars: Bars) -> None:
    middle = sorted(took)[len(took) // 2]
    bars.show(name, percentiles(took), holds=middle <= _MOST_HEALTH_SECONDS)


async def _new_health(sidecar: Sidecar) -> float:
    loop = asyncio.get_running_loop()
    began = loop.time()
    kept = Kept(*await asyncio.open_connection(*_address(sidecar.admin_url)))
    await kept.health()
    kept.writer.close()
    return loop.time() - began


async def _good(traffic: Traffic, bars: Bars) -> None:
    loop, took = asyncio.get_running_loop(), []
    statuses = Counter(traffic.statuses)
    for _ in range(_TIMES):
        began = loop.time()
        await traffic.ask_on_new_connections(1)
        took.append(loop.time() - began)
    good = traffic.statuses[200] - statuses[200]
    bars.show("good requests", f"{percentiles(took)}, {good} answered", holds=good == _TIMES)


async def _recover(sidecar: Sidecar, traffic: Traffic, bars: Bars) -> None:
    """Ask until a request is answered; all others have left."""
    loop = asyncio.get_running_loop()
    began, good = loop.time(), traffic.statuses[200]
    before = cpu_seconds(sidecar.process.pid)
    async with asyncio.timeout(30):
        while traffic.statuses[200] == good:
            await traffic.ask_on_new_connections(1)
            await asyncio.sleep(0.01)
    took = loop.time() - began
    cpu = cpu_seconds(sidecar.process.pid) - before
    told = f"{took * 1000:.0f} ms, {cpu * 1000:.0f} of them computed"
    bars.show("until a good request is answered", told, holds=took <= _MOST_RECOVERY_SECONDS)


class Idle:
    """Connections on which nothing is sent."""

    def __init__(self) -> None:
        self._sockets: list[socket.socket] = []

    async def open(self, address: tuple[str, int], number: int) -> None:
        loop = asyncio.get_running_loop()
        for _ in range(number):
            connection = socket.socket()
            self._sockets.append(connection)
            connection.setblocking(False)  # noqa: FBT003
            await loop.sock_connect(connection, address)
        await asyncio.sleep(1.0)  # what was not accepted yet is now

    async def told(self, number: int) -> int:
        """Return how many of the last so many were turned away."""
        away = 0
        for connection in self._sockets[-number:]:
            with contextlib.suppress(BlockingIOError):
                try:
                    away += connection.recv(12) in (b"HTTP/1.1 503", b"")
                except ConnectionResetError:
                    away += 1
        return away

    def close(self) -> None:
        for connection in self._sockets:
            connection.close()


@contextmanager
def _idle() -> Iterator[Idle]:
    connections = Idle()
    try:
        yield connections
    finally:
        connections.close()


def _address(url: str) -> tuple[str, int]:
    where = urlsplit(url)
    return where.hostname or "", where.port or 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--connections", type=int, default=10_000)
    asyncio.run(main(parser.parse_args().connections))
