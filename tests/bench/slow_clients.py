"""What slow clients do to good requests: thousands of them, with the default limits.

Within 25 seconds come 1,000 clients that trickle their head, 1,000 that trickle a body, and 500
that do not read their answer: half of them nothing, half 20 octets each half second. It fails where
less than 99.9 % of good requests are answered, a slow client is not cut within 75 seconds, or the
sidecar grows by more than 100 MB at any time.
"""

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.bench.site import Site, bench_site, peak_bytes, percentiles, resident_bytes
from tests.e2e.processes import running_sidecar
from tests.e2e.traffic import Traffic
from tests.fakes.slow_clients import Kind, SlowClients, answer_slow_clients, slow_clients
from tests.fakes.upstream import scripted_upstream

_SUBJECT = "robot-0"
_MOST_SECONDS = 75.0
_MOST_BYTES = 100_000_000
_LEAST_ANSWERED = 0.999
_PAUSE_SECONDS = 0.02
_COMING_SECONDS = 25.0


async def main(seconds: float, share: float) -> None:
    kinds = {
        Kind.HEAD: round(1000 * share),
        Kind.BODY: round(1000 * share),
        Kind.READER: round(250 * share),
        Kind.SIPPER: round(250 * share),
    }
    async with AsyncExitStack() as stack:
        site = await stack.enter_async_context(bench_site())
        await site.set_status(_SUBJECT, "active")
        token = site.token(_SUBJECT)
        upstream = await stack.enter_async_context(scripted_upstream(answer_slow_clients))
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        sidecar = await stack.enter_async_context(
            running_sidecar(site.settings(upstream.url, accounts=_accounts(site)), directory)
        )
        traffic = Traffic(sidecar.url, token)
        before = await _good(traffic, 5.0)
        memory = resident_bytes(sidecar.process.pid)
        where = urlsplit(sidecar.url)
        address = where.hostname or "", where.port or 0
        slow = await stack.enter_async_context(slow_clients(address, token, kinds, _COMING_SECONDS))
        during = await _good(traffic, seconds)
        async with asyncio.timeout(_COMING_SECONDS + _MOST_SECONDS):
            while slow.cut < sum(kinds.values()):
                await asyncio.sleep(0.5)
        grown = peak_bytes(sidecar.process.pid) - memory
        print(f"good requests alone:      {percentiles(before)}")
        print(f"good requests among them: {percentiles(during)}")
        _judge(traffic, slow, grown)


def _accounts(site: Site) -> dict[str, Any]:
    # The clients run on the same machine: that it is busy with them is no defect of the sidecar.
    return {"url": site.redis.url, "max_staleness": 3.0, "read_timeout": 1.0}


async def _good(traffic: Traffic, seconds: float) -> Sequence[float]:
    """Ask on new connections for so long; return how long each answer took."""
    loop, took = asyncio.get_running_loop(), []
    end = loop.time() + seconds
    while (began := loop.time()) < end:
        await traffic.ask_on_new_connections(1)
        took.append(loop.time() - began)
        await asyncio.sleep(_PAUSE_SECONDS)
    return took


def _judge(traffic: Traffic, slow: SlowClients, grown: int) -> None:
    good = traffic.statuses[200]
    asked = sum(traffic.statuses.values()) + len(traffic.failures) + traffic.refused
    print(f"good requests answered:   {good} of {asked}")
    print(f"slow clients:             {slow.connected} came, {slow.cut} were cut, after at most")
    for kind, took in slow.took.items():
        told = ", ".join(f"{number} with {status}" for status, number in slow.told[kind].items())
        print(f"  {kind.name.lower():<8} {max(took):6.1f} s  {told or len(took)}")
    for failure in sorted(set(traffic.failures)):
        print(f"good request failed:      {failure}")
    print(f"memory at the peak:       {grown / 1e6:+.1f} MB of {_MOST_BYTES / 1e6:.0f} allowed")
    if good < asked * _LEAST_ANSWERED or _latest(slow) > _MOST_SECONDS or grown > _MOST_BYTES:
        sys.exit("slow clients are felt")


def _latest(slow: SlowClients) -> float:
    return max(max(took) for took in slow.took.values())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=75.0)
    parser.add_argument("--share", type=float, default=1.0, help="of all the slow clients")
    options = parser.parse_args()
    asyncio.run(main(options.seconds, options.share))
