"""Whether one address of upstream is asked: a circuit breaker, without a clock of its own.

Closed, it is asked. After some failures in a row it opens, and nobody asks it for a while. Then it
is half-open: one request may try it, and what becomes of that decides; each failed trial makes the
next while twice as long, and none as long as another's, so that sidecars do not come back in step.
Probes that go well close it at any time.
"""

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto


class State(Enum):
    """What a breaker lets through."""

    CLOSED = auto()
    OPEN = auto()
    HALF_OPEN = auto()


@dataclass(frozen=True, slots=True)
class BreakerRules:
    """After how many failures in a row it opens, and how many good signs close it again.

    ``connect_suffices`` is whether a connection is a good sign already. Pauses are in seconds.
    """

    unhealthy_after: int = 1
    healthy_after: int = 1
    connect_suffices: bool = True
    first_pause: float = 0.1
    longest_pause: float = 10.0


class Breaker:
    """The breaker of one address. All times are steady seconds.

    ``changed`` is called when it opens and when it closes. Failures of requests and of probes are
    counted apart: that it can be connected to says little of an upstream that never answers.
    """

    def __init__(
        self,
        rules: BreakerRules,
        changed: Callable[[], None] = lambda: None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._rules = rules
        self._changed = changed
        self._jitter = jitter
        self._request_failures = self._probe_failures = self._good_signs = 0
        self._pauses = 0
        self._until = -math.inf  # nobody asks before that
        self.state = State.CLOSED

    @property
    def is_closed(self) -> bool:
        return self.state is State.CLOSED

    def may_ask(self, now: float) -> bool:
        """Say whether a request may be sent there; in the half-open state the next one."""
        return self.state is State.CLOSED or now >= self._until

    def try_once(self, now: float) -> None:
        """Let one request through, although it is not closed; no other until it has ended.

        If nobody hears of its end, another may try as soon as that of a failure could.
        """
        self.state = State.HALF_OPEN
        self._until = now + self._pause()

    def connected(self) -> None:
        """Take that a request got its connection."""
        self._request_failures = 0
        if self.state is not State.CLOSED and self._rules.connect_suffices:
            self._take_good_sign()

    def answered(self) -> None:
        """Take that the request that tried it was answered."""
        if self.state is not State.CLOSED:
            self._take_good_sign()

    def failed(self, now: float) -> None:
        """Take that a request got no connection, or that the one that tried it got no answer."""
        self._request_failures += 1
        self._take_failure(self._request_failures, now)

    def probed(self, *, well: bool, now: float) -> None:
        """Take how a probe went."""
        if not well:
            self._probe_failures += 1
            self._take_failure(self._probe_failures, now)
            return
        self._probe_failures = 0
        if self.state is not State.CLOSED:
            self._take_good_sign()

    def _take_good_sign(self) -> None:
        self._good_signs += 1
        if self._good_signs < self._rules.healthy_after:
            # One down: the next request may be the next sign.
            self.state, self._until = State.HALF_OPEN, -math.inf
            return
        self._request_failures = self._probe_failures = self._good_signs = self._pauses = 0
        self.state, self._until = State.CLOSED, -math.inf
        self._changed()

    def _take_failure(self, failures: int, now: float) -> None:
        self._good_signs = 0
        if self.state is State.OPEN:
            return  # of what was under way when it opened, or of a probe
        was_closed = self.state is State.CLOSED
        if was_closed and failures < self._rules.unhealthy_after:
            return
        self.state = State.OPEN
        self._until = now + self._pause()
        self._pauses += 1
        if was_closed:
            self._changed()

    def _pause(self) -> float:
        rules = self._rules
        whole: float = min(rules.longest_pause, rules.first_pause * 2 ** min(self._pauses, 20))
        return whole * (0.5 + self._jitter() / 2)
