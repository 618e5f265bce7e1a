"""What a request costs: the sidecar beside a bare aiohttp proxy, on one worker each, in one run.

Both stand before the same upstream and are loaded in turn by wrk, several rounds each, so that a
noisy machine strikes both. CPU time is read from /proc, so only Linux will do. The client's token
is verified once, then remembered, as in production.
"""

import asyncio
import os
import re
import shutil
import statistics
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from sidecar.demo.identity_provider import IdentityProvider
from sidecar.demo.redis_server import RedisServer
from sidecar.demo.token_request import Client
from tests.e2e.processes import running_sidecar

ROUNDS = 5
SECONDS = 4
CONNECTIONS = 32
_TICKS = os.sysconf("SC_CLK_TCK")


@asynccontextmanager
async def program(*arguments: str) -> AsyncIterator[tuple[str, int]]:
    """Run a Python program of this directory; yield its URL and process id."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, *arguments, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        line = (await process.stdout.readline()).decode()
        yield line.split()[-1], process.pid
    finally:
        process.terminate()
        await process.wait()


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


async def load(url: str, pid: int, token: str) -> tuple[float, float]:
    """Return requests per second and CPU microseconds per request."""
    before = cpu_seconds(pid)
    process = await asyncio.create_subprocess_exec(
        *("wrk", "-t1", f"-c{CONNECTIONS}", f"-d{SECONDS}s"),
        *("-H", f"Authorization: Bearer {token}", url + "/api/userinfo"),
        stdout=asyncio.subprocess.PIPE,
    )
    out = (await process.communicate())[0].decode()
    spent = cpu_seconds(pid) - before
    requests = re.search(r"(\d+) requests in", out)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", out)
    if requests is None or rate is None or "Non-2xx" in out:
        raise SystemExit(f"wrk saw something else than 200s:\n{out}")
    return float(rate[1]), spent / int(requests[1]) * 1e6


async def main() -> None:
    if shutil.which("wrk") is None:
        raise SystemExit("wrk is needed (Debian: apt-get install wrk)")
    here = Path(__file__).parent
    async with (
        IdentityProvider([Client("bench", "secret", "bench", ())], lifetime=3600) as provider,
        RedisServer() as redis,
    ):
        await redis.command("HSET", "sidecar:account:default:bench", "status", "active")
        token = provider.issue("bench", lifetime=3600)
        with tempfile.TemporaryDirectory() as directory:
            async with (
                program(str(here / "upstream.py")) as (upstream, _),
                program(str(here / "bare_proxy.py"), upstream) as (bare, bare_pid),
                running_sidecar(
                    {
                        "listen": {"host": "127.0.0.1", "port": 0},
                        "admin": {"host": "127.0.0.1", "port": 0},
                        "upstream": {"url": upstream},
                        "preset": "hoop",
                        "issuers": [
                            {
                                "issuer": provider.issuer,
                                "audiences": ["hoop-gateway"],
                                "insecure_http": True,
                            }
                        ],
                        "accounts": {"url": redis.url},
                        "log": {"decisions": "denied"},
                    },
                    Path(directory),
                ) as sidecar,
            ):
                await measure(
                    {
                        "bare aiohttp proxy": (bare, bare_pid),
                        "sidecar": (sidecar.url, sidecar.process.pid),
                    },
                    token,
                )


async def measure(proxies: dict[str, tuple[str, int]], token: str) -> None:
    results: dict[str, list[tuple[float, float]]] = {name: [] for name in proxies}
    for _ in range(ROUNDS):
        for name, (url, pid) in proxies.items():
            results[name].append(await load(url, pid, token))
    medians = {}
    for name, rounds in results.items():
        rate = statistics.median(each[0] for each in rounds)
        cost = statistics.median(each[1] for each in rounds)
        medians[name] = (rate, cost)
        print(f"{name:20} {rate:8.0f} requests/s  {cost:6.1f} us CPU/request")
    bare, ours = medians["bare aiohttp proxy"], medians["sidecar"]
    print(
        f"sidecar / bare: {ours[0] / bare[0]:.2f} of the rate, {ours[1] / bare[1]:.2f} of the CPU"
    )


if __name__ == "__main__":
    asyncio.run(main())
