"""Thousands of tracking connections in one thread, and what they cost the Redis they hang on.

They say what a view says, in its order, on plain sockets: so few instructions here that Redis is
what is measured. CPU time is the server's own account of its main thread (``INFO cpu``), so it
holds on a machine that is busy; times on the clock do not.
"""

import os
import select
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Self

from redis import Redis

from tests.bench.fleet_growth import Costs

PREFIX = "sidecar:"
ACCOUNT = "sidecar:account:default:robot-0"
PING = ("PING",)
ROLE = ("ROLE",)
REVISION = ("MGET", "sidecar:revision", "sidecar:epoch")
TRACKING = ("CLIENT", "TRACKING", "ON", "BCAST", "PREFIX", PREFIX)
CONFIG = ("CONFIG", "GET", "maxmemory-policy")
_PATIENCE_SECONDS = 20.0


def packed(*words: str) -> bytes:
    """Return a command as it goes over the wire."""
    parts = [f"*{len(words)}\r\n"] + [f"${len(each)}\r\n{each}\r\n" for each in words]
    return "".join(parts).encode("ascii")


GREETING = (
    packed("HELLO", "3")
    + packed("CLIENT", "SETINFO", "LIB-NAME", "crowd")
    + packed("CLIENT", "SETINFO", "LIB-VER", "1")
)
READ = (
    packed("HGETALL", ACCOUNT)
    + packed("HGETALL", "sidecar:realm:default")
    + packed("EXISTS", "sidecar:revoked:default:j-0")
)


class Crowd:
    """Connections to one server that speak all at once."""

    def __init__(self, port: int) -> None:
        self._address = ("127.0.0.1", port)
        self._sockets: dict[int, socket.socket] = {}
        self._poll = select.epoll()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for each in self._sockets.values():
            each.close()
        self._poll.close()

    def __len__(self) -> int:
        return len(self._sockets)

    def connect(self, number: int) -> None:
        """Add connections, as many at once as the backlog holds, until there are ``number``."""
        while len(self) < number:
            for _ in range(min(256, number - len(self))):
                made = socket.create_connection(self._address)
                made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._sockets[made.fileno()] = made
                self._poll.register(made, select.EPOLLIN)

    def send(self, message: bytes) -> None:
        for each in self._sockets.values():
            each.send(message)

    def descriptors(self) -> list[int]:
        return list(self._sockets)

    def send_one(self, descriptor: int, message: bytes) -> None:
        self._sockets[descriptor].send(message)

    def drain(self, seconds: float) -> None:
        """Read what is there, or comes within ``seconds``."""
        for descriptor, _ in self._poll.poll(seconds, 4096):
            self._sockets[descriptor].recv(65536)

    def hear(self) -> float:
        """Read until each has heard something; return when the last one had, by the steady clock.

        Raises:
            TimeoutError: some have heard nothing for long.
        """
        silent = set(self._sockets)
        until = time.monotonic() + _PATIENCE_SECONDS
        while silent:
            for descriptor, _ in self._poll.poll(0.5, 1024):
                if not self._sockets[descriptor].recv(65536):
                    raise ConnectionError("Redis closed a connection of the crowd")
                silent.discard(descriptor)
            if time.monotonic() > until:
                raise TimeoutError(f"{len(silent)} connections hear nothing")
        return time.monotonic()


class Gauge:
    """Reads the CPU seconds of the server's main thread."""

    def __init__(self, port: int, pid: int) -> None:
        self.client = Redis(host="127.0.0.1", port=port)
        self.pid = pid
        empty = sorted(self._raw(lambda: None) for _ in range(20))
        self._own = empty[len(empty) // 2]

    def spent(self, do: Callable[[], object]) -> float:
        """Return what the main thread computed for ``do``."""
        return max(0.0, self._raw(do) - self._own)

    def _raw(self, do: Callable[[], object]) -> float:
        before = self.seconds()
        do()
        return self.seconds() - before

    def info(self, section: str) -> Any:
        return self.client.info(section)

    def seconds(self) -> float:
        """Return what the main thread has computed since the start."""
        cpu = self.info("cpu")
        return float(cpu["used_cpu_user_main_thread"] + cpu["used_cpu_sys_main_thread"])

    def say(self, *words: str) -> Any:
        return self.client.execute_command(*words)  # type: ignore[no-untyped-call]

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Stop the server, so that all that is sent meanwhile is one turn of its loop."""
        os.kill(self.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self.pid, signal.SIGCONT)


def each_in_one_turn(gauge: Gauge, crowd: Crowd, message: bytes, rounds: int) -> float:
    """Return CPU seconds for ``message`` of one connection, where all send it at once."""

    def ask() -> None:
        for _ in range(rounds):
            with gauge.stopped():
                crowd.send(message)
            crowd.hear()

    return gauge.spent(ask) / (rounds * len(crowd))


def each_alone(gauge: Gauge, times: int = 2000) -> float:
    """Return CPU seconds for a PING that has a turn of the loop, and its wait, to itself."""

    def ask() -> None:
        for _ in range(times):
            gauge.client.ping()

    return gauge.spent(ask) / times


def write(gauge: Gauge, number: int) -> None:
    """Change an account in the way of the store: watched, with the revision."""
    with gauge.client.pipeline(transaction=True) as pipeline:
        transaction: Any = pipeline
        transaction.watch(ACCOUNT)
        pipeline.hgetall(ACCOUNT)
        pipeline.multi()
        pipeline.hset(ACCOUNT, mapping={"status": "active", "name": f"Robot {number}"})
        pipeline.incr("sidecar:revision")
        pipeline.execute()


def fan_out(gauge: Gauge, crowd: Crowd | None, rounds: int) -> tuple[float, list[float]]:
    """Return CPU seconds a write, and how long until Redis had written the last push.

    The server answers the PING in a later turn than the one that writes the pushes.
    """
    seconds: list[float] = []

    def change() -> None:
        for number in range(rounds):
            began = time.monotonic()
            write(gauge, number)
            gauge.client.ping()
            seconds.append(time.monotonic() - began)
            if crowd is not None:
                crowd.hear()

    return gauge.spent(change) / rounds, sorted(seconds)


def greet(gauge: Gauge, crowd: Crowd, number: int) -> tuple[float, float, float]:
    """Connect as many; return CPU seconds of one for accept, HELLO with SETINFO, and TRACKING.

    Redis accepts a few in each turn: the last ones are counted with their HELLO.
    """
    before = len(crowd)

    def connect() -> None:
        crowd.connect(number)
        gauge.client.ping()

    accept = gauge.spent(connect)
    hello = each_in_one_turn(gauge, crowd, GREETING, 1)
    tracking = each_in_one_turn(gauge, crowd, packed(*TRACKING), 1)
    return accept / (number - before), hello, tracking


def measure_costs(gauge: Gauge, crowd: Crowd, number: int, commands: int = 20_000) -> Costs:
    """Connect a crowd of ``number`` and have it do all that a view does."""
    accept, hello, tracking = greet(gauge, crowd, number)
    rounds = max(3, commands // number)
    ping = each_in_one_turn(gauge, crowd, packed(*PING), rounds)
    alone, _ = fan_out_alone(gauge)
    with_crowd, _ = fan_out(gauge, crowd, max(5, rounds // 2))
    return Costs(
        turn=max(0.0, each_alone(gauge) - ping),
        ping=ping,
        role=each_in_one_turn(gauge, crowd, packed(*ROLE), rounds),
        revision=each_in_one_turn(gauge, crowd, packed(*REVISION), rounds),
        read=each_in_one_turn(gauge, crowd, READ, rounds),
        push=max(0.0, with_crowd - alone) / number,
        accept=accept,
        hello=hello,
        tracking=tracking,
        config=each_in_one_turn(gauge, crowd, packed(*CONFIG), 3),
        write=alone,
    )


def fan_out_alone(gauge: Gauge) -> tuple[float, list[float]]:
    """As ``fan_out`` for a key that nobody tracks: what the write itself costs."""

    def change() -> None:
        for number in range(200):
            with gauge.client.pipeline(transaction=True) as pipeline:
                transaction: Any = pipeline
                transaction.watch("elsewhere")
                pipeline.hgetall("elsewhere")
                pipeline.multi()
                pipeline.hset("elsewhere", mapping={"status": "active", "name": f"{number}"})
                pipeline.incr("counter")
                pipeline.execute()
            gauge.client.ping()

    return gauge.spent(change) / 200, []
