"""Open event streams: what each holds in memory, and what an event costs that goes to all."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from typing_extensions import override

from tests.bench.peers.peer import SUBJECT, Peer, Runner, Scene
from tests.bench.processes import Missing, cpu_seconds, memory_bytes, python_program
from tests.bench.report import Report
from tests.chaos.load import head

STREAMS = 5000
_OPENED_AT_ONCE = 50
_WATCHED_SECONDS = 5.0
_PATIENCE_SECONDS = 60.0


@dataclass
class _Tally:
    events: int = 0


class _Client(asyncio.Protocol):
    """A client with one stream open; it counts events and forgets them."""

    def __init__(self, tally: _Tally) -> None:
        self.beginning: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._tally = tally

    @override
    def data_received(self, data: bytes) -> None:
        if not self.beginning.done():
            self.beginning.set_result(data)
        self._tally.events += data.count(b"\n\n")

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        if not self.beginning.done():
            self.beginning.set_result(b"")


async def measure_event_streams(scene: Scene, runners: Sequence[Runner], report: Report) -> None:
    """Open the streams through each peer in turn and report what they cost it."""
    rows = []
    async with python_program(str(Path(__file__).parent / "event_upstream.py")) as (upstream, _):
        for runner in runners:
            try:
                async with runner(scene.before(upstream)) as peer:
                    rows.append(await _measure(peer, scene.site.token(SUBJECT)))
            except Missing as missing:
                report.skip(str(missing))
    report.table(
        f"{STREAMS} open event streams, an event of 100 B a second to each",
        ("proxy", "MB before", "MB with all", "kB/stream", "CPU us/event"),
        rows,
    )
    report.skip("event streams through Apache: it holds a thread for each")


async def _measure(peer: Peer, token: str) -> tuple[str, ...]:
    tally = _Tally()
    async with _open(peer, token, 1, tally):
        before = memory_bytes(peer.pid)
    async with _open(peer, token, STREAMS, tally):
        await asyncio.sleep(1)
        spent, seen = cpu_seconds(peer.pid), tally.events
        await asyncio.sleep(_WATCHED_SECONDS)
        spent, seen = cpu_seconds(peer.pid) - spent, tally.events - seen
        after = memory_bytes(peer.pid)
    if seen < STREAMS * (_WATCHED_SECONDS - 2):
        raise SystemExit(f"{peer.name}: {seen} events in {_WATCHED_SECONDS:g} s are too few")
    return (
        peer.name,
        f"{before / 1e6:.1f}",
        f"{after / 1e6:.1f}",
        f"{(after - before) / STREAMS / 1e3:.1f}",
        f"{spent / seen * 1e6:.1f}",
    )


@asynccontextmanager
async def _open(peer: Peer, token: str, number: int, tally: _Tally) -> AsyncIterator[None]:
    """Hold so many streams open, each of which has begun."""
    host, _, port = peer.url.removeprefix("http://").rpartition(":")
    loop = asyncio.get_running_loop()
    transports: list[asyncio.Transport] = []
    waiting = iter(range(number))

    async def open_some() -> None:
        for _ in waiting:
            transport, client = await loop.create_connection(
                lambda: _Client(tally), host, int(port)
            )
            transports.append(transport)
            transport.write(head(token, "/api/sessions/1/stream"))
            beginning = await client.beginning
            if not beginning.startswith(b"HTTP/1.1 200 "):
                raise SystemExit(f"{peer.name} began a stream with {beginning[:200]!r}")

    async with asyncio.timeout(_PATIENCE_SECONDS), asyncio.TaskGroup() as tasks:
        for _ in range(min(_OPENED_AT_ONCE, number)):
            tasks.create_task(open_some())
    try:
        yield
    finally:
        for transport in transports:
            transport.abort()
