"""What the account view costs one worker in memory: by account registered, and by account asked.

Only what was asked for is held, so the first figure should be about nothing.
"""

import argparse
import asyncio
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.bench.site import bench_site, fixed_upstream, resident_bytes
from tests.chaos.load import head
from tests.e2e.processes import Sidecar, running_sidecar

_CONNECTIONS = 16
_TRIES = 50
_PAUSE_SECONDS = 0.2


async def ask(sidecar: Sidecar, tokens: Iterator[str]) -> None:
    """Have each token granted once, on one connection.

    While a million pushes are under way the view may have nothing to prove itself by: then the
    answer is 503, and the token is sent again.
    """
    host, _, port = sidecar.url.removeprefix("http://").rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    answer = b""
    for token in tokens:
        for _ in range(_TRIES):
            writer.write(head(token))
            answer = await reader.readuntil(b"\r\n\r\n")
            length = int(answer.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0])
            await reader.readexactly(length)
            if b" 503 " not in answer[:16]:
                break
            await asyncio.sleep(_PAUSE_SECONDS)
        if b" 200 " not in answer[:16]:
            raise SystemExit(f"not granted: {answer!r}")
    writer.close()


async def main(registered: int, asked: int) -> None:
    async with bench_site() as site, fixed_upstream() as upstream:
        settings = site.settings(upstream, limits={"remembered_tokens": 1})
        with tempfile.TemporaryDirectory() as directory:
            async with running_sidecar(settings, Path(directory)) as sidecar:
                pid = sidecar.process.pid
                await site.register(1000)
                await ask(sidecar, (site.token(f"robot-{number}") for number in range(1000)))
                fresh = resident_bytes(pid)
                await site.register(registered)
                await ask(sidecar, iter([site.token("robot-0")]))  # so that all pushes are heard
                after_registering = resident_bytes(pid)
                tokens = (site.token(f"robot-{number}") for number in range(asked))
                async with asyncio.TaskGroup() as tasks:
                    for _ in range(_CONNECTIONS):
                        tasks.create_task(ask(sidecar, tokens))
                after_asking = resident_bytes(pid)
    megabyte = 1024 * 1024
    print(f"one worker, {registered} accounts registered, {asked} asked for")
    print(
        f"  resident {fresh / megabyte:.1f} MB, then {after_registering / megabyte:.1f} MB,"
        f" then {after_asking / megabyte:.1f} MB"
    )
    print(f"  growth by registered account {(after_registering - fresh) / registered:7.1f} bytes")
    print(f"  growth by account asked for  {(after_asking - after_registering) / asked:7.1f} bytes")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--registered", type=int, default=1_000_000)
    parser.add_argument("--asked", type=int, default=100_000)
    given = parser.parse_args()
    asyncio.run(main(given.registered, given.asked))
