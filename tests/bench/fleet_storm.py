"""A storm for real: thousands of connections at once, in the steps and pauses of a view."""

import random
import select
import socket
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush

from sidecar.adapters.view_policy import ViewPolicy
from tests.bench.fleet_crowd import CONFIG, GREETING, PING, REVISION, ROLE, TRACKING, packed

POLICY = ViewPolicy()
_STEPS = (
    GREETING,
    *(packed(*each) for each in (TRACKING, ROLE, REVISION, CONFIG, PING, PING)),
)


@dataclass(slots=True)
class _Attempt:
    number: int
    socket: socket.socket
    began: float
    step: int = 0


@dataclass
class Storm:
    """Connects ``views`` once and for all; those that take too long begin again as a view does.

    Only connecting is limited in time, and who is live does not beat: a little less than views do.
    """

    port: int
    views: int
    live: list[float] = field(default_factory=list)
    timeouts: int = 0

    def __post_init__(self) -> None:
        self._failures = [0] * self.views
        self._starts = [(self._pause(number), number) for number in range(self.views)]
        heapify(self._starts)
        self._open: dict[int, _Attempt] = {}
        self._limits: deque[_Attempt] = deque()
        self._poll = select.epoll()

    def run(self, give_up: float) -> list[float]:
        """Return how many seconds after the beginning each was live, in order."""
        began = time.monotonic()
        try:
            while len(self.live) < self.views and (now := time.monotonic() - began) < give_up:
                self._start(now)
                self._end_late(now)
                for descriptor, _ in self._poll.poll(0.001, 1024):
                    self._go_on(self._open[descriptor], time.monotonic() - began)
        finally:
            for each in self._open.values():
                each.socket.close()
            self._poll.close()
        return sorted(self.live)

    def _pause(self, number: int) -> float:
        ceiling = min(POLICY.max_backoff, 0.02 * 2 ** min(self._failures[number], 10))
        return random.uniform(ceiling / 2, ceiling)  # noqa: S311 - jitter

    def _start(self, now: float) -> None:
        while self._starts and self._starts[0][0] <= now:
            _, number = heappop(self._starts)
            made = socket.socket()
            made.setblocking(False)  # noqa: FBT003 - the name of the method says it
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            made.connect_ex(("127.0.0.1", self.port))
            attempt = _Attempt(number, made, now)
            self._open[made.fileno()] = attempt
            self._limits.append(attempt)
            self._poll.register(made, select.EPOLLOUT)

    def _end_late(self, now: float) -> None:
        while self._limits and now - self._limits[0].began > POLICY.timeout:
            late = self._limits.popleft()
            if late.step <= 1:
                self.timeouts += 1
                self._lose(late, now)

    def _lose(self, lost: _Attempt, now: float) -> None:
        self._poll.unregister(lost.socket)
        del self._open[lost.socket.fileno()]
        lost.socket.close()
        self._failures[lost.number] += 1
        heappush(self._starts, (now + self._pause(lost.number), lost.number))

    def _go_on(self, attempt: _Attempt, now: float) -> None:
        if attempt.step:
            with suppress(BlockingIOError):
                if not attempt.socket.recv(65536):
                    self._lose(attempt, now)
                    return
        else:
            self._poll.modify(attempt.socket, select.EPOLLIN)
        if attempt.step < len(_STEPS):
            attempt.socket.send(_STEPS[attempt.step])
        elif attempt.step == len(_STEPS):
            self.live.append(now)
        attempt.step += 1
