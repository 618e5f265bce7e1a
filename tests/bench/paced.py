"""A client that asks at a fixed rate, whether it is answered in time or not.

``python -m tests.bench.paced URL PATH TOKENS RATE SECONDS CONNECTIONS`` prints a line of JSON: how
many were answered with what, and the latencies. These count from the moment at which a request was
due: one that had to wait for a connection has waited all the same. ``sent_p99`` counts from the
moment at which it was sent: where the client gets no CPU in time, that says more of the server.
"""

import asyncio
import json
import math
import sys
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from typing_extensions import override

_TICK_SECONDS = 0.001
_LAST_ANSWERS_SECONDS = 10.0


@dataclass
class Load:
    """What is asked, and what came of it."""

    requests: list[bytes]
    due: deque[float] = field(default_factory=deque)
    free: list["Connection"] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)
    since_sent: list[float] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)
    sent: int = 0
    is_over: bool = False

    def go_on(self) -> None:
        """Send what is due, for as long as there are free connections."""
        while self.due and self.free:
            request = self.requests[self.sent % len(self.requests)]
            self.sent += 1
            self.free.pop().send(request, self.due.popleft())


class Connection(asyncio.Protocol):
    """Carries one request at a time."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._got = b""
        self._due = self._sent = 0.0
        self._transport: asyncio.Transport

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._load.free.append(self)

    def send(self, request: bytes, due: float) -> None:
        self._due, self._sent = due, time.perf_counter()
        self._transport.write(request)

    @override
    def data_received(self, data: bytes) -> None:
        self._got += data
        head, found, body = self._got.partition(b"\r\n\r\n")
        if not found:
            return
        length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
        if len(body) < int(length or b"0"):
            return
        self._got = b""
        load = self._load
        load.statuses[head[9:12].decode()] += 1
        now = time.perf_counter()
        load.latencies.append(now - self._due)
        load.since_sent.append(now - self._sent)
        load.free.append(self)
        load.go_on()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        if not self._load.is_over:
            self._load.statuses["lost"] += 1


async def pace(url: str, load: Load, rate: float, seconds: float, connections: int) -> None:
    """Ask at so many requests a second, then wait for the last answers."""
    where, loop = urlsplit(url), asyncio.get_running_loop()
    assert where.hostname is not None
    assert where.port is not None
    host, port = where.hostname, where.port
    opened = [
        (await loop.create_connection(lambda: Connection(load), host, port))[0]
        for _ in range(connections)
    ]
    began = time.perf_counter()
    number, total = 0, int(rate * seconds)
    while number < total:
        passed = time.perf_counter() - began
        while number < total and number / rate <= passed:
            load.due.append(began + number / rate)
            number += 1
        load.go_on()
        await asyncio.sleep(_TICK_SECONDS)
    ends = time.perf_counter() + _LAST_ANSWERS_SECONDS
    while len(load.latencies) < total and time.perf_counter() < ends:
        await asyncio.sleep(_TICK_SECONDS)
    load.is_over = True
    for transport in opened:
        transport.abort()


def main(url: str, path: str, tokens: Path, rate: float, seconds: float, connections: int) -> None:
    requests = [
        f"GET {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
        for token in tokens.read_text().split()
    ]
    load = Load(requests)
    asyncio.run(pace(url, load, rate, seconds, connections))
    latencies, since_sent = sorted(load.latencies), sorted(load.since_sent)

    def share(ordered: list[float], part: float) -> float:
        return ordered[max(0, math.ceil(len(ordered) * part) - 1)] * 1e3

    print(
        json.dumps(
            {
                "statuses": load.statuses,
                "unanswered": int(rate * seconds) - len(latencies),
                "rate": len(latencies) / seconds,
                "p50": share(latencies, 0.5),
                "p99": share(latencies, 0.99),
                "sent_p99": share(since_sent, 0.99),
                "max": latencies[-1] * 1e3,
            }
        )
    )


if __name__ == "__main__":
    main(
        sys.argv[1], sys.argv[2], Path(sys.argv[3]), float(sys.argv[4]), float(sys.argv[5]),
        int(sys.argv[6]),
    )  # fmt: skip
