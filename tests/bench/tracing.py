"""What tracing costs: the CPU of a request without it, and with none, some and all sampled.

``make bench-tracing``. All in one run, one after another in turns; each with one worker, the same
upstream and a collector that takes everything. The ratios are what counts.
"""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from aiohttp import web

from tests.bench.load import Case, load_in_turn
from tests.bench.peers import nginx, ours
from tests.bench.peers.peer import REMEMBERED_TOKENS, SUBJECT, make_scene
from tests.bench.processes import Missing
from tests.bench.site import bench_site
from tests.bench.tokens import write_tokens

_ROUNDS, _SECONDS, _WARM_SECONDS = 4, 2, 1
_OFF = "off"
_RATIOS = {"on, none sampled": 0.0, "on, 1 % sampled": 0.01, "on, all sampled": 1.0}


async def main() -> None:
    async with AsyncExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        site = await stack.enter_async_context(bench_site("ES256"))
        await site.set_status(SUBJECT, "active")
        try:
            upstream = await stack.enter_async_context(nginx.running_upstream(directory))
        except Missing as missing:
            raise SystemExit(f"{missing}; the load and the upstream need it") from None
        scene = await make_scene(site, upstream, directory, REMEMBERED_TOKENS)
        collector = await stack.enter_async_context(_collector())
        # All of it runs on one machine: that this is busy is no defect of the sidecar.
        accounts = {"url": site.redis.url, "max_staleness": 5.0, "read_timeout": 1.0}
        off = ours.running_ours_with(_OFF, scene, accounts=accounts)
        peers = [await stack.enter_async_context(off)]
        for name, ratio in _RATIOS.items():
            tracing = {"endpoint": collector, "ratio": ratio, "max_per_second": 100_000}
            runs = ours.running_ours_with(name, scene, accounts=accounts, tracing=tracing)
            peers.append(await stack.enter_async_context(runs))
        tokens = write_tokens(directory / "one", [site.token(SUBJECT)])
        case = Case("100 B, 32 connections, one token", tokens)
        samples = await load_in_turn(peers, case, _ROUNDS, _SECONDS, _WARM_SECONDS)
    print(f"{'tracing':20}{'CPU us':>10}{'to off':>10}{'requests/s':>14}{'p99 ms':>10}")
    for name, sample in samples.items():
        to_off = sample.cpu / samples[_OFF].cpu
        print(f"{name:20}{sample.cpu:10.1f}{to_off:10.2f}{sample.rate:14.0f}{sample.p99:10.2f}")


@asynccontextmanager
async def _collector() -> AsyncIterator[str]:
    """Take everything and look at nothing."""

    async def take(request: web.BaseRequest) -> web.StreamResponse:
        await request.read()
        return web.Response()

    loop = asyncio.get_running_loop()
    handler = web.Server(take, access_log=None)
    server = await loop.create_server(handler, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1/traces"
    finally:
        server.close()
        await handler.shutdown(1.0)


if __name__ == "__main__":
    asyncio.run(main())
