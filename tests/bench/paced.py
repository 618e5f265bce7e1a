"""A client that asks at a fixed rate, whether it is answered in time or not.

``python -m tests.bench.paced URL PATH TOKENS RATE SECONDS CONNECTIONS`` prints a line of JSON: how
many were answered with what, and the latencies in milliseconds, from the moment at which a request
was sent to that at which the kernel had its answer. So they say nothing of a client that gets no
CPU in time; what it was late by itself is told apart (``late_p99``): a request that was due and had
to wait for a connection, or for this process, has waited all the same.

Linux only, for its timestamps of what arrives.
"""

import contextlib
import json
import math
import select
import socket
import struct
import sys
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

_LAST_ANSWERS_SECONDS = 10.0
_LONGEST_SLEEP = 0.05
_SO_TIMESTAMPNS = 35
_STAMP = struct.Struct("qq")
_READ = 65536


def now() -> float:
    """Return the time of the clock that the kernel stamps with, in epoch seconds."""
    return time.clock_gettime(time.CLOCK_REALTIME)


@dataclass
class Load:
    """What is asked, and what came of it."""

    requests: list[bytes]
    due: deque[float] = field(default_factory=deque)
    free: list["Connection"] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)
    late: list[float] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)
    lost: int = 0

    def go_on(self) -> None:
        """Send what is due, for as long as there are free connections."""
        while self.due and self.free:
            request = self.requests[len(self.late) % len(self.requests)]
            sent = self.free.pop().send(request)
            self.late.append(sent - self.due.popleft())


class Connection:
    """Carries one request at a time."""

    def __init__(self, load: Load, address: tuple[str, int]) -> None:
        self._load = load
        self._got = b""
        self._sent = 0.0
        self._socket = socket.create_connection(address)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        load.free.append(self)

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        self._socket.close()

    def send(self, request: bytes) -> float:
        """Send; return when."""
        self._sent = now()
        with contextlib.suppress(ConnectionError):  # heard of when it is read
            self._socket.sendall(request)
        return self._sent

    def receive(self) -> bool:
        """Read what has come; say whether the connection goes on."""
        try:
            data, marks, _, _ = self._socket.recvmsg(_READ, 256)
        except ConnectionError:
            data, marks = b"", []
        if not data:
            self._load.lost += 1
            return False
        self._got += data
        head, found, body = self._got.partition(b"\r\n\r\n")
        length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
        if found and len(body) >= int(length or b"0"):
            self._got = b""
            self._load.statuses[head[9:12].decode()] += 1
            self._load.latencies.append(_stamp(marks) - self._sent)
            self._load.free.append(self)
        return True


def _stamp(marks: list[tuple[int, int, bytes]]) -> float:
    for _, kind, octets in marks:
        if kind == _SO_TIMESTAMPNS:
            seconds, nanoseconds = _STAMP.unpack(octets)
            return float(seconds + nanoseconds / 1e9)
    return now()


def pace(load: Load, connections: list[Connection], rate: float, seconds: float) -> None:
    """Ask at so many requests a second, then wait for the last answers."""
    began, number, total = now(), 0, int(rate * seconds)
    ends = began + seconds + _LAST_ANSWERS_SECONDS
    while len(load.latencies) + load.lost < total and connections:
        at = now()
        if at > ends:
            return
        while number < total and began + number / rate <= at:
            load.due.append(began + number / rate)
            number += 1
        load.go_on()
        sleep = began + number / rate - now() if number < total else _LONGEST_SLEEP
        # Not epoll, which Python lets sleep for whole milliseconds only.
        readable, _, _ = select.select(connections, [], [], min(max(sleep, 0), _LONGEST_SLEEP))
        gone = [each for each in readable if not each.receive()]
        connections = [each for each in connections if each not in gone] if gone else connections
        load.go_on()


def main(url: str, path: str, tokens: Path, rate: float, seconds: float, number: int) -> None:
    requests = [
        f"GET {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
        for token in tokens.read_text().split()
    ]
    load, where = Load(requests), urlsplit(url)
    assert where.hostname is not None
    assert where.port is not None
    with contextlib.ExitStack() as stack:
        connections = [
            stack.enter_context(contextlib.closing(Connection(load, (where.hostname, where.port))))
            for _ in range(number)
        ]
        pace(load, connections, rate, seconds)
    print(json.dumps(figures(load, int(rate * seconds), seconds)))


def figures(load: Load, total: int, seconds: float) -> dict[str, object]:
    latencies, late = sorted(load.latencies), sorted(load.late)
    return {
        "statuses": load.statuses,
        "unanswered": total - len(latencies),
        "rate": len(latencies) / seconds,
        "p50": share(latencies, 0.5),
        "p99": share(latencies, 0.99),
        "late_p99": share(late, 0.99),
        "max": share(latencies, 1.0),
    }


def share(ordered: list[float], part: float) -> float:
    """Return a quantile in milliseconds; of nothing, infinity."""
    if not ordered:
        return math.inf
    return ordered[max(0, math.ceil(len(ordered) * part) - 1)] * 1e3


if __name__ == "__main__":
    main(
        sys.argv[1], sys.argv[2], Path(sys.argv[3]), float(sys.argv[4]), float(sys.argv[5]),
        int(sys.argv[6]),
    )  # fmt: skip
