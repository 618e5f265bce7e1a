"""What a check of Envoy's costs: checks a second of one worker, their latency and its CPU.

``make bench-ext-authz``. The client is one process of gRPC's own, with as many calls in flight as
``--callers`` says over one connection, as one thread of Envoy has. It needs about as much CPU as
the sidecar, so the rate is a lower bound on two cores; the CPU is the sidecar's alone.
"""

import argparse
import asyncio
import math
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc

from sidecar.fronts.ext_authz.health import AUTHORIZATION
from tests.bench.peers.peer import SUBJECT
from tests.bench.processes import cpu_seconds
from tests.bench.site import bench_site
from tests.bench.tokens import with_bad_signature
from tests.e2e.processes import running_sidecar
from tests.fakes.checks import check_of, read_answer

# What a program sends and Envoy adds.
_FIELDS = (
    ("user-agent", "python-httpx/0.28"), ("accept", "*/*"), ("accept-encoding", "gzip, deflate"),
    ("content-type", "application/json"), ("x-forwarded-proto", "https"),
    ("x-forwarded-for", "198.51.100.7"), ("x-request-id", "0b2a3c5e-8f6e-9d0a-b6c1-3f1d2e4a5b6c"),
)  # fmt: skip

_Check = grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]


@dataclass(frozen=True, slots=True)
class Result:
    """One load."""

    checks: int
    seconds: float
    latencies: list[float]
    cpu: float

    def line(self, title: str) -> str:
        ordered = sorted(self.latencies)
        p50, p99 = (ordered[math.ceil(len(ordered) * share) - 1] * 1e3 for share in (0.5, 0.99))
        rate, cpu = self.checks / self.seconds, self.cpu / self.checks * 1e6
        return f"{title:24}{rate:12.0f}{p50:10.2f}{p99:10.2f}{cpu:12.1f}"


@asynccontextmanager
async def _calls(url: str) -> AsyncIterator[_Check]:
    async with grpc.aio.insecure_channel(url.removeprefix("grpc://")) as channel:
        yield channel.unary_unary(f"/{AUTHORIZATION}/Check")


async def _load(
    check: _Check, message: bytes, status: int, callers: int, seconds: float, pid: int
) -> Result:
    latencies: list[float] = []
    until = time.monotonic() + seconds

    async def call() -> None:
        while (began := time.monotonic()) < until:
            answer = await check(message, timeout=10)
            latencies.append(time.monotonic() - began)
            if len(latencies) % 100 == 1 and read_answer(answer).status != status:
                raise SystemExit(f"not all were answered with {status}")

    began, cpu = time.monotonic(), cpu_seconds(pid)
    async with asyncio.TaskGroup() as tasks:
        for _ in range(callers):
            tasks.create_task(call())
    return Result(len(latencies), time.monotonic() - began, latencies, cpu_seconds(pid) - cpu)


async def measure(callers: int, seconds: float, directory: Path) -> None:
    async with bench_site() as site:
        await site.set_status(SUBJECT, "active")
        settings = site.settings("http://127.0.0.1:9", ext_authz={"port": 0})
        async with (
            running_sidecar(settings, directory) as sidecar,
            _calls(sidecar.urls["ext_authz"]) as check,
        ):
            token = site.token(SUBJECT)
            cases = {
                "granted": (token, 200),
                "refused, bad signature": (with_bad_signature(token), 401),
                "refused, no token": ("", 401),
            }
            print(f"{'':24}{'checks/s':>12}{'p50 ms':>10}{'p99 ms':>10}{'CPU us':>12}")
            for title, (credential, status) in cases.items():
                bearer = [("authorization", f"Bearer {credential}")] if credential else []
                message = check_of(*bearer, *_FIELDS, target="/api/userinfo")
                await _load(check, message, status, callers, 1.0, sidecar.process.pid)
                result = await _load(check, message, status, callers, seconds, sidecar.process.pid)
                print(result.line(title), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--callers", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=10.0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(measure(arguments.callers, arguments.seconds, Path(directory)))


if __name__ == "__main__":
    main()
