"""What refusals tell by their time, how an upstream that is down is told, and what streams wait.

Bars 8, 25 (but for the hour) and 36 of ``docs/assurance.md``, through a real sidecar.
"""

import argparse
import asyncio
import math
import random
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

from tests.bench.site import Site, bench_site, fixed_upstream, percentiles, resident_bytes
from tests.e2e.processes import Sidecar, running_sidecar
from tests.fakes.front import status_of
from tests.fakes.upstream import Conversation, scripted_upstream

_MOST_APART = 0.0002
_LEAST_ODDS = 0.01
_MOST_FOR_A_502 = 0.1
_MOST_AFTER_UP = 0.2
_MOST_FOR_A_FIRST_BYTE = 0.002
_MOST_MEMORY = 2 * 2**20
_PIECE = 2**20
_PATH = "/api/userinfo"


class Asker:
    """A connection that is kept, with one request after another."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def ask(self, token: str, path: str = _PATH, until: bytes = b"}") -> tuple[int, float]:
        """Return the status, and how many seconds it took until this octet behind the head."""
        head = f"GET {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n"
        began = time.perf_counter()
        self._writer.write(head.encode())
        answer = await self._reader.readuntil(b"\r\n\r\n")
        await self._reader.readuntil(until)
        return status_of(answer), time.perf_counter() - began


@asynccontextmanager
async def asker(url: str) -> AsyncIterator[Asker]:
    where = urlsplit(url)
    reader, writer = await asyncio.open_connection(where.hostname, where.port)
    try:
        yield Asker(reader, writer)
    finally:
        writer.close()


async def ask_once(url: str, token: str) -> tuple[int, float]:
    """Ask on a connection of its own; a refusal may end one."""
    async with asker(url) as client:
        return await client.ask(token)


async def told_by_time(site: Site, sidecar: Sidecar, number: int) -> bool:
    """Bar 8: each reason as often as the others, in a random order."""
    await site.set_status("robot-0", "inactive")
    issue = site.provider.issue
    tokens = {
        "inactive": site.token("robot-0"),
        "unknown": site.token("nobody"),
        "bad aud": issue("bench", lifetime=3600, sub="robot-0", aud="another"),
    }
    took: dict[str, list[float]] = {name: [] for name in tokens}
    order = [name for name in tokens for _ in range(number)]
    random.shuffle(order)
    async with asker(sidecar.url) as client:
        for name in [*tokens, *order]:
            status, seconds = await client.ask(tokens[name])
            assert status == 401, name
            took[name].append(seconds)
    for name, all_of_it in took.items():
        print(f"401, {name:<10} {percentiles(all_of_it)}")
    return are_alike(took)


def are_alike(took: Mapping[str, Sequence[float]]) -> bool:
    names, alike = list(took), True
    for first in names:
        for second in names[names.index(first) + 1 :]:
            apart = abs(statistics.median(took[first]) - statistics.median(took[second]))
            odds = odds_of(took[first], took[second])
            print(f"  {first} and {second}: {apart * 1000:.4f} ms apart, p = {odds:.3f}")
            alike = alike and (apart < _MOST_APART or odds > _LEAST_ODDS)
    return alike


def odds_of(one: Sequence[float], other: Sequence[float]) -> float:
    """Return how likely it is that both are of one kind: Welch's test, of many samples."""
    spread = math.sqrt(
        statistics.variance(one) / len(one) + statistics.variance(other) / len(other)
    )
    return math.erfc(abs(statistics.fmean(one) - statistics.fmean(other)) / spread / math.sqrt(2))


async def down_and_up(site: Site, directory: Path, number: int) -> bool:
    """Bar 36."""
    await site.set_status("robot-1", "active")
    async with scripted_upstream() as gone:
        url = gone.url
    token, down = site.token("robot-1"), list[float]()
    async with running_sidecar(site.settings(url), directory) as sidecar:
        for _ in range(number):
            status, seconds = await ask_once(sidecar.url, token)
            assert status == 502
            down.append(seconds)
        port = urlsplit(url).port
        async with await asyncio.start_server(_answer, "127.0.0.1", port):
            began = time.perf_counter()
            while (await ask_once(sidecar.url, token))[0] != 200:
                pass
            up = time.perf_counter() - began
    print(f"502, upstream is down: {percentiles(down)}")
    print(f"200, once it is there: {up * 1000:.1f} ms")
    return max(down) <= _MOST_FOR_A_502 and up <= _MOST_AFTER_UP


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
    writer.close()


async def first_bytes(site: Site, sidecar: Sidecar, direct: str, number: int) -> bool:
    """Bar 25: an event stream's first event, beside that of upstream itself."""
    await site.set_status("robot-2", "active")
    token, medians = site.token("robot-2"), []
    for name, url in (("direct", direct), ("sidecar", sidecar.url)):
        took = []
        for _ in range(number):
            async with asker(url) as client:
                status, seconds = await client.ask(token, "/api/demo/stream", b"connected")
                assert status == 200
                took.append(seconds)
        print(f"first event, {name:<8} {percentiles(took)}")
        medians.append(statistics.median(took))
    return medians[1] - medians[0] <= _MOST_FOR_A_FIRST_BYTE


async def in_little_memory(site: Site, directory: Path) -> bool:
    """Bar 25: a gigabyte each way in one request, after a small one."""
    await site.set_status("robot-3", "active")
    token, piece = site.token("robot-3"), bytes(_PIECE)
    # All is on one machine: that it is busy with a gigabyte must not end the lease.
    accounts = {"url": site.redis.url, "max_staleness": 10.0, "read_timeout": 5.0}

    async def talk(conversation: Conversation) -> None:
        size = int(conversation.values("Content-Length")[0])
        for _ in range(size // _PIECE):
            await conversation.reader.readexactly(_PIECE)
        await conversation.say(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        for _ in range(size // _PIECE):
            await conversation.say(piece)

    async with (
        scripted_upstream(talk) as upstream,
        running_sidecar(site.settings(upstream.url, accounts=accounts), directory) as sidecar,
    ):
        grown = 0
        for pieces in (64, 1024):
            before = resident_bytes(sidecar.process.pid)
            grown = await carry(sidecar, token, pieces, before)
    print(f"memory, 1 GiB each way: {grown / 2**20:+.1f} MiB")
    return grown <= _MOST_MEMORY


async def carry(sidecar: Sidecar, token: str, pieces: int, before: int) -> int:
    """Send so many pieces and get them back; return by how much memory grew at most."""
    where, grown, piece = urlsplit(sidecar.url), 0, bytes(_PIECE)
    reader, writer = await asyncio.open_connection(where.hostname, where.port)
    fields = f"Authorization: Bearer {token}\r\nContent-Length: {pieces * _PIECE}\r\n\r\n"
    writer.write(f"POST /api/upload HTTP/1.1\r\nHost: a\r\n{fields}".encode())
    for _ in range(pieces):
        writer.write(piece)
        await writer.drain()
        grown = max(grown, resident_bytes(sidecar.process.pid) - before)
    assert status_of(await reader.readuntil(b"\r\n\r\n")) == 200
    for _ in range(pieces):
        await reader.readexactly(_PIECE)
        grown = max(grown, resident_bytes(sidecar.process.pid) - before)
    writer.close()
    return grown


async def main(number: int) -> None:
    async with AsyncExitStack() as stack:
        site = await stack.enter_async_context(bench_site())
        upstream = await stack.enter_async_context(fixed_upstream())
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        sidecar = await stack.enter_async_context(
            running_sidecar(site.settings(upstream), directory)
        )
        verdicts = {
            "8": await told_by_time(site, sidecar, number),
            "25, first byte": await first_bytes(site, sidecar, upstream, number // 20),
            "25, memory": await in_little_memory(site, directory),
            "36": await down_and_up(site, directory, number // 20),
        }
    for bar, is_met in verdicts.items():
        print(f"bar {bar}: {'met' if is_met else 'MISSED'}")
    if not all(verdicts.values()):
        sys.exit(1)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--number", type=int, default=10_000, help="of requests for each reason")
    asyncio.run(main(parser.parse_args().number))
