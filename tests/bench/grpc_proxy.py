"""What a gRPC call through the sidecar costs, and a message of a stream, beside none in between.

The client is in this process and slower than what it measures: CPU is the sidecar's own, by the
kernel's books; the rates say what one client in Python gets.
"""

import argparse
import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import grpc
import grpc.aio
import yaml

from sidecar.demo.redis_server import free_port
from tests.bench.peers.peer import SUBJECT
from tests.bench.processes import cpu_seconds, python_program, running
from tests.bench.site import Site, bench_site

_METHOD = "/protobuf.Transport/Connect"
_AT_ONCE = 8
_MESSAGE = b"x" * 100
_WARM_SECONDS = 1.0
_READY_SECONDS = 30.0


@asynccontextmanager
async def _sidecar(site: Site, upstream: str, directory: Path) -> AsyncIterator[tuple[str, int]]:
    port = free_port()
    section = {"upstream": {"url": f"grpc://{upstream}"}, "host": "127.0.0.1", "port": port}
    file = directory / "sidecar.yaml"
    file.write_text(yaml.safe_dump(site.settings("http://127.0.0.1:1", grpc=section)))
    command = [sys.executable, "-m", "sidecar", "run", "--config", str(file)]
    async with running(command, port, directory / "sidecar.log") as pid:
        yield f"127.0.0.1:{port}", pid


class _Load:
    """Calls, or messages of streams, one after the other on each of a few lanes."""

    def __init__(self, channel: grpc.aio.Channel, token: str) -> None:
        self._channel = channel
        self._metadata = (("authorization", f"Bearer {token}"), ("origin", "client"))
        self.done = 0

    async def calls(self) -> None:
        ask: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = self._channel.unary_unary(_METHOD)
        while True:
            await ask(_MESSAGE, metadata=self._metadata)
            self.done += 1

    async def messages(self) -> None:
        begin: grpc.aio.StreamStreamMultiCallable[bytes, bytes]
        begin = self._channel.stream_stream(_METHOD)
        call = begin(metadata=self._metadata)
        while True:
            await call.write(_MESSAGE)
            await call.read()
            self.done += 1


async def _measure(
    target: str, token: str, pid: int | None, what: str, seconds: float
) -> tuple[float, float]:
    """Return how many a second, and the CPU of ``pid`` for each in microseconds."""
    async with grpc.aio.insecure_channel(target) as channel:
        load = _Load(channel, token)
        lane = load.calls if what == "calls" else load.messages
        async with asyncio.TaskGroup() as tasks:
            lanes = [tasks.create_task(lane()) for _ in range(_AT_ONCE)]
            await asyncio.sleep(_WARM_SECONDS)
            before, spent = load.done, 0.0 if pid is None else cpu_seconds(pid)
            await asyncio.sleep(seconds)
            done = load.done - before
            spent = 0.0 if pid is None else cpu_seconds(pid) - spent
            for each in lanes:
                each.cancel()
    return done / seconds, spent / max(1, done) * 1e6


async def _granted(target: str, token: str) -> None:
    """Return once a call gets through: the sidecar has its keys, and knows the account."""
    metadata = (("authorization", f"Bearer {token}"),)
    async with asyncio.timeout(_READY_SECONDS), grpc.aio.insecure_channel(target) as channel:
        ask: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(_METHOD)
        while True:
            with suppress(grpc.aio.AioRpcError):
                await ask(_MESSAGE, metadata=metadata)
                return
            await asyncio.sleep(0.05)


async def main(seconds: float) -> None:
    with tempfile.TemporaryDirectory() as name:
        async with (
            bench_site("ES256") as site,
            python_program(str(Path(__file__).parent / "grpc_upstream.py")) as (upstream, _),
            _sidecar(site, upstream, Path(name)) as (target, pid),
        ):
            await site.set_status(SUBJECT, "active")
            token = site.token(SUBJECT)
            await _granted(target, token)
            print(f"{'':24}{'a second':>10}{'CPU us each':>13}")
            for what in ("calls", "messages"):
                rate, _ = await _measure(upstream, token, None, what, seconds)
                print(f"{what + ', direct':24}{rate:>10.0f}{'':>13}", flush=True)
                rate, cost = await _measure(target, token, pid, what, seconds)
                print(f"{what + ', sidecar':24}{rate:>10.0f}{cost:>13.1f}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0)
    asyncio.run(main(parser.parse_args().seconds))
