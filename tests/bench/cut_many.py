"""What a cut of ten thousand open event streams does to the requests of others.

Once as one account that is disabled with all streams, once as ten thousand accounts, disabled in
one go. A process beside it asks all the time for somebody else.
"""

import argparse
import asyncio
import json
import resource
import sys
import tempfile
import time
from pathlib import Path

from typing_extensions import override

from tests.bench.site import Site, bench_site, fixed_upstream, percentiles
from tests.chaos.load import head
from tests.e2e.processes import Sidecar, running_sidecar

_OPENED_AT_ONCE = 50
_CALM_SECONDS = 1.0
# On a machine that is full a lease may lapse while so many streams begin.
_TRIES = 5
_PAUSE_SECONDS = 0.5


class _Open(asyncio.Protocol):
    """One open stream of a client."""

    def __init__(self, ends: list[float]) -> None:
        self.began = asyncio.Event()
        self.beginning = b""
        self._ends = ends

    def note_end_in(self, ends: list[float]) -> None:
        """Note the end there, also one that has come already."""
        ends.extend(self._ends)
        self._ends = ends

    @override
    def data_received(self, data: bytes) -> None:
        self.beginning = self.beginning or data
        self.began.set()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._ends.append(time.monotonic())


async def open_streams(sidecar: Sidecar, tokens: list[str], ends: list[float]) -> int:
    """Open a stream a token; return how many times a 503 made one begin again."""
    host, port = address(sidecar)
    waiting = iter(tokens)
    refused = 0

    async def open_some() -> None:
        nonlocal refused
        beginning = b""
        for token in waiting:
            for _ in range(_TRIES):
                beginning = await open_one(host, port, token, ends)
                if not beginning.startswith(b"HTTP/1.1 503 "):
                    break
                refused += 1
                await asyncio.sleep(_PAUSE_SECONDS)
            if not beginning.startswith(b"HTTP/1.1 200 "):
                raise SystemExit(f"not granted: {beginning!r}")

    async with asyncio.TaskGroup() as tasks:
        for _ in range(_OPENED_AT_ONCE):
            tasks.create_task(open_some())
    return refused


async def open_one(host: str, port: int, token: str, ends: list[float]) -> bytes:
    """Return the beginning of the answer; only the end of a stream that was granted is noted."""
    ended: list[float] = []
    transport, protocol = await asyncio.get_running_loop().create_connection(
        lambda: _Open(ended), host, port
    )
    transport.write(head(token, "/api/sessions/1/stream"))
    await protocol.began.wait()
    if protocol.beginning.startswith(b"HTTP/1.1 200 "):
        protocol.note_end_in(ends)
    else:
        transport.close()
    return protocol.beginning


async def disable(site: Site, subjects: list[str]) -> None:
    async with site.writer.pipeline(transaction=False) as pipeline:
        for subject in subjects:
            pipeline.execute_command(
                "HSET", f"sidecar:account:default:{subject}", "status", "inactive"
            )
        await pipeline.execute()


async def one_pass(site: Site, sidecar: Sidecar, subjects: list[str], streams: int) -> None:
    issued = {subject: site.token(subject) for subject in subjects}
    tokens = [issued[subjects[number % len(subjects)]] for number in range(streams)]
    ends: list[float] = []
    refused = await open_streams(sidecar, tokens, ends)
    host, port = address(sidecar)
    probe = await asyncio.create_subprocess_exec(
        *(sys.executable, str(Path(__file__).parent / "probe.py"), host, str(port)),
        site.token("other"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    await asyncio.sleep(_CALM_SECONDS)
    began = time.monotonic()
    await disable(site, subjects)
    while len(ends) < streams:
        await asyncio.sleep(0.01)
    out, _ = await probe.communicate(b"\n")
    asked = [(at, took) for at, took in json.loads(out)]
    calm = [took for at, took in asked if at < began - 0.1]
    busy = [took for at, took in asked if began <= at + took and at <= ends[-1]]
    print(f"{streams} event streams of {len(subjects)} account(s), disabled in one go")
    print(f"  opens refused with 503 and tried again: {refused}")
    cuts = [end - began for end in ends if end >= began]
    # A lapsed lease cuts what is open: that is no figure of a revocation.
    print(f"  streams that had ended before: {len(ends) - len(cuts)}")
    print(f"  cuts                    {percentiles(cuts)}")
    print(f"  others' requests before {percentiles(calm)}")
    print(f"  others' requests during {percentiles(busy)}", flush=True)


def address(sidecar: Sidecar) -> tuple[str, int]:
    host, _, port = sidecar.url.removeprefix("http://").rpartition(":")
    return host, int(port)


async def main(streams: int) -> None:
    # Two sockets a stream, here as in the sidecar, which inherits the limit.
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    streams = min(streams, (limit - 500) // 2)
    async with bench_site() as site, fixed_upstream() as upstream:
        await site.set_status("other", "active")
        await site.set_status("one", "active")
        await site.register(streams, "many-")
        with tempfile.TemporaryDirectory() as directory:
            async with running_sidecar(site.settings(upstream), Path(directory)) as sidecar:
                await one_pass(site, sidecar, ["one"], streams)
                await one_pass(site, sidecar, [f"many-{n}" for n in range(streams)], streams)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, default=10_000)
    asyncio.run(main(parser.parse_args().streams))
