"""Whether memory stays flat over millions of requests, with many tokens, good and bad.

After a warm-up, in which every memory that is bounded fills, the resident memory must not grow by
more than 1 MB in a million requests.
"""

import argparse
import asyncio
import sys
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path

from tests.bench.load import Case, Expected, load
from tests.bench.peers import nginx, ours
from tests.bench.peers.peer import REMEMBERED_TOKENS, SUBJECT, make_scene
from tests.bench.processes import memory_bytes
from tests.bench.site import bench_site
from tests.bench.tokens import distinct, garbage, with_bad_signature, write_tokens

_SLICE_SECONDS = 15
_TOKENS = 20_000
_WARM_SHARE = 0.2
_MAX_BYTES_A_REQUEST = 1.0


async def main(requests: int) -> None:
    async with AsyncExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        site = await stack.enter_async_context(bench_site("ES256"))
        await site.set_status(SUBJECT, "active")
        upstream = await stack.enter_async_context(nginx.running_upstream(directory))
        scene = await make_scene(site, upstream, directory, REMEMBERED_TOKENS)
        good = list(distinct(site, _TOKENS))
        bad = [with_bad_signature(token) for token in good[: _TOKENS // 4]]
        file = write_tokens(directory / "tokens", [*good, *bad, garbage()])
        peer = await stack.enter_async_context(ours.running_ours(scene))
        case = Case("soak", file, expected=Expected.EITHER)
        done = 0
        seen: list[tuple[int, int]] = []
        while done < requests:
            done += (await load(peer, case, _SLICE_SECONDS)).requests
            seen.append((done, memory_bytes(peer.pid)))
            print(f"{done:>10} requests  {seen[-1][1] / 2**20:7.1f} MiB", flush=True)
    warm = [each for each in seen if each[0] >= requests * _WARM_SHARE]
    growth = (warm[-1][1] - warm[0][1]) / max(1, warm[-1][0] - warm[0][0])
    print(f"growth after the warm-up: {growth:.3f} bytes a request")
    if growth > _MAX_BYTES_A_REQUEST:
        sys.exit("memory grows")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=10_000_000)
    asyncio.run(main(parser.parse_args().requests))
