"""What stands around the sidecars that the revocation benches measure."""

import asyncio
import math
import statistics
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from redis.asyncio import Redis
from typing_extensions import override

from sidecar.demo.identity_provider import IdentityProvider
from sidecar.demo.redis_server import RedisServer
from sidecar.demo.signing_keys import Algorithm
from sidecar.demo.token_request import Client

_SECONDS = 3600
_CHUNK = 1000
# In the server, since a million commands would be sent for longer than they are measured. Small
# chunks: what changes within one script is pushed in one piece.
_REGISTER = """
for number = tonumber(ARGV[1]), tonumber(ARGV[2]) do
  redis.call('HSET', 'sidecar:account:default:' .. ARGV[3] .. number, 'status', 'active',
    'id', number, 'subject', ARGV[3] .. number, 'name', 'Robot ' .. number, 'groups', '["ops"]')
end
"""

_EVENTS = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"e\r\n: connected\r\n\n\r\n"
)
_OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@dataclass(frozen=True, slots=True)
class Site:
    """An identity provider and a Redis, with a connection for writes that is open already."""

    provider: IdentityProvider
    redis: RedisServer
    writer: Redis
    algorithm: Algorithm = "ES256"

    def settings(self, upstream: str, **more: Any) -> dict[str, Any]:
        return {
            "listen": {"host": "127.0.0.1", "port": 0, "drain_seconds": 0},
            "admin": {"host": "127.0.0.1", "port": 0},
            "upstream": {"url": upstream, "max_connections": 100_000},
            "preset": "hoop",
            "issuers": [
                {
                    "issuer": self.provider.issuer,
                    "audiences": ["hoop-gateway"],
                    "algorithms": [self.algorithm],
                    "insecure_http": True,
                }
            ],
            "accounts": {"url": self.redis.url},
            "routes": [{"name": "ws", "path": "/api/demo/ws", "websocket": True}],
            "log": {"decisions": "none"},
            **more,
        }

    def token(self, subject: str) -> str:
        return self.provider.issue("bench", lifetime=_SECONDS, sub=subject)

    async def set_status(self, subject: str, status: str) -> None:
        await self.say("HSET", f"sidecar:account:default:{subject}", "status", status)

    async def say(self, *command: str) -> None:
        """Send a command on the open connection."""
        await self.writer.execute_command(*command)  # type: ignore[no-untyped-call]

    async def register(self, number: int, prefix: str = "robot-") -> None:
        """Register active accounts ``robot-0`` and so on."""
        for first in range(0, number, _CHUNK):
            last = min(first + _CHUNK, number) - 1
            await self.redis.command("EVAL", _REGISTER, 0, first, last, prefix)


@asynccontextmanager
async def bench_site(algorithm: Algorithm = "ES256") -> AsyncIterator[Site]:
    clients = [Client("bench", "secret", "bench", ())]
    async with (
        IdentityProvider(clients, algorithm=algorithm, lifetime=_SECONDS) as provider,
        RedisServer() as redis,
        Redis.from_url(redis.url) as writer,
    ):
        yield Site(provider, redis, writer, algorithm)


class _Fixed(asyncio.Protocol):
    """Answers every request with ``ok``, or with the beginning of an event stream."""

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._unread = b""

    @override
    def data_received(self, data: bytes) -> None:
        self._unread += data
        while (end := self._unread.find(b"\r\n\r\n")) >= 0:
            is_stream = b"/stream " in self._unread[: self._unread.find(b"\r\n")]
            self._unread = self._unread[end + 4 :]
            self._transport.write(_EVENTS if is_stream else _OK)


@asynccontextmanager
async def fixed_upstream() -> AsyncIterator[str]:
    server = await asyncio.get_running_loop().create_server(_Fixed, "127.0.0.1", 0, backlog=1024)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        server.close()


def percentiles(seconds: Sequence[float]) -> str:
    """Return median, 99th percentile and maximum in milliseconds, as they stand in the tables."""
    ordered = sorted(each * 1000 for each in seconds)
    p99 = ordered[max(0, math.ceil(len(ordered) * 0.99) - 1)]
    return (
        f"median {statistics.median(ordered):7.2f}  p99 {p99:7.2f}  max {ordered[-1]:7.2f} ms"
        f"  of {len(ordered)}"
    )


def resident_bytes(pid: int) -> int:
    """Return what a process has in memory (Linux only)."""
    return int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[1]) * 4096


def peak_bytes(pid: int) -> int:
    """Return the most that a process has ever had in memory (Linux only)."""
    for line in Path(f"/proc/{pid}/status").read_text("ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise ValueError("no VmHWM")
