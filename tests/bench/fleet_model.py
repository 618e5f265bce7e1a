"""One Redis and all the views that hang on it, as events in time: a model of what it can carry.

The server is its main thread. Each turn of its event loop takes all that has arrived, works it off
one after the other, and writes all replies and pushes at the end; so a turn costs something of its
own, and the more wait, the cheaper each becomes. New connections are taken few at a turn, and
beyond the backlog the kernel drops them.

The views do what ``redis_accounts`` does: PING at the heartbeat, ROLE at a quarter of
``max_staleness``, a look after the revision for each push, and the same lease, time limits and
back-off. Pure and seeded: no clock, no socket. All times are seconds.
"""

import random
from collections import deque
from dataclasses import dataclass, field
from enum import Enum, auto
from heapq import heappop, heappush

from sidecar.adapters.view_policy import ViewPolicy
from tests.bench.fleet_growth import Costs


@dataclass(frozen=True, slots=True)
class Fleet:
    """What hangs on the Redis.

    ``views`` counts workers: each has a view and a connection of its own. ``writes`` is how many
    accounts change in a second; ``cold`` how many subjects each view reads anew in the second
    after it was connected; ``network`` one way. ``spread`` is
    ``accounts.reconnect_spread``.
    """

    views: int
    policy: ViewPolicy = field(default_factory=ViewPolicy)
    writes: float = 0.0
    cold: int = 0
    network: float = 0.00025
    spread: float = 0.0
    backlog: int = 511
    accepts: int = 10


class Step(Enum):
    """What a view waits for the answer to."""

    CONNECT = auto()
    HELLO = auto()
    TRACKING = auto()
    FIRST_ROLE = auto()
    FIRST_REVISION = auto()
    CONFIG = auto()
    PING = auto()
    ROLE = auto()
    REVISION = auto()
    READ = auto()


_NEXT = {
    Step.CONNECT: Step.HELLO,
    Step.HELLO: Step.TRACKING,
    Step.TRACKING: Step.FIRST_ROLE,
    Step.FIRST_ROLE: Step.FIRST_REVISION,
    Step.FIRST_REVISION: Step.CONFIG,
}


@dataclass(slots=True)
class View:
    """One worker's view; ``number`` of the connection tells late answers from those awaited."""

    connection: int = 0
    is_tracking: bool = False
    failures: int = 0
    began: float = 0.0
    proven: float | None = None
    primary: float = 0.0
    live_until: float = 0.0
    first_live: float | None = None
    counted: float = 0.0


@dataclass(slots=True)
class Outcome:
    """What was seen from ``since`` on."""

    since: float = 0.0
    until: float = 0.0
    busy: float = 0.0
    commands: int = 0
    lapses: int = 0
    dead_seconds: float = 0.0
    timeouts: int = 0
    dropped: int = 0
    heard: list[list[float]] = field(default_factory=list)
    live: list[float] = field(default_factory=list)

    @property
    def load(self) -> float:
        """The share of one core."""
        return self.busy / (self.until - self.since)


_Event = tuple[float, int, int, Step, int, float]


class Simulation:
    """Runs a fleet against one Redis, from a seed."""

    def __init__(self, fleet: Fleet, costs: Costs, seed: int = 1) -> None:
        self._fleet = fleet
        self._policy = fleet.policy
        self._random = random.Random(seed)  # noqa: S311 - a model that can be run again
        self._views = [View() for _ in range(fleet.views)]
        self._events: list[_Event] = []
        self._accepting: deque[_Event] = deque()
        self._sequence = 0
        self._costs = {
            Step.CONNECT: costs.accept,
            Step.HELLO: costs.hello,
            Step.TRACKING: costs.tracking,
            Step.FIRST_ROLE: costs.role,
            Step.FIRST_REVISION: costs.revision,
            Step.CONFIG: costs.config,
            Step.PING: costs.ping,
            Step.ROLE: costs.role,
            Step.REVISION: costs.revision,
            Step.READ: costs.read,
        }
        self._turn, self._push, self._write = costs.turn, costs.push, costs.write
        self._next_write = 1 / fleet.writes if fleet.writes else float("inf")
        self._out = Outcome()

    def steady(self, seconds: float, warm_up: float = 1.0) -> Outcome:
        """Have all connected from the start, and look at them after ``warm_up``."""
        policy = self._policy
        for number, view in enumerate(self._views):
            view.is_tracking, view.connection = True, 1
            view.live_until = view.first_live = warm_up
            self._ask(number, Step.PING, self._random.uniform(0, policy.heartbeat))
            self._ask(number, Step.ROLE, self._random.uniform(0, policy.max_staleness / 4))
        self._out.since = warm_up
        self._run(warm_up + seconds, until_all_live=False)
        for view in self._views:
            self._count_dead(view, self._out.until)
        return self._out

    def storm(self, outage: float, give_up: float) -> Outcome:
        """Have all lose their connection, and Redis back after ``outage``; 0 is that it stayed.

        The time is counted from the moment when it is back. It ends when all are live.
        """
        for number in range(len(self._views)):
            self._retry_after_outage(number, outage)
        self._run(give_up, until_all_live=True)
        self._out.live = sorted(
            view.first_live for view in self._views if view.first_live is not None
        )
        return self._out

    def _retry_after_outage(self, number: int, outage: float) -> None:
        at, view = -outage, self._views[number]
        while True:
            at += self._pause(view)
            if at >= 0:
                break
            view.failures += 1  # refused at once: nobody listens
        self._connect(number, at)

    def _pause(self, view: View) -> float:
        ceiling = min(self._policy.max_backoff, 0.02 * 2 ** min(view.failures, 10))
        return self._random.uniform(ceiling / 2, ceiling + self._fleet.spread)

    def _connect(self, number: int, at: float) -> None:
        view = self._views[number]
        view.connection += 1
        view.began, view.is_tracking, view.proven = at, False, None
        self._ask(number, Step.CONNECT, at)

    def _ask(self, number: int, step: Step, at: float) -> None:
        self._sequence += 1
        arrives = at + self._fleet.network
        event = (arrives, self._sequence, number, step, self._views[number].connection, at)
        heappush(self._events, event)

    def _run(self, end: float, *, until_all_live: bool) -> None:
        now, waiting = 0.0, len(self._views)
        while now < end and (waiting or not until_all_live):
            if not self._accepting:
                first = self._events[0][0] if self._events else end
                now = max(now, min(first, self._next_write))
            if now >= end:
                break
            began, answered = now, self._take(now)
            now += self._turn + sum(self._costs[each[3]] for each in answered)
            if began >= self._next_write:
                now = self._change(now)
            if began >= self._out.since:
                self._out.busy += now - began
                self._out.commands += len(answered)
            for event in answered:
                waiting -= self._answer(event, now + self._fleet.network)
        self._out.until = max(now, end if not until_all_live else now)

    def _take(self, now: float) -> list[_Event]:
        taken: list[_Event] = []
        events, accepting = self._events, self._accepting
        while events and events[0][0] <= now:
            event = heappop(events)
            if event[3] is not Step.CONNECT:
                taken.append(event)
            elif len(accepting) < self._fleet.backlog:
                accepting.append(event)
            else:
                # The kernel sends the SYN again after a second: the attempt is over by then.
                self._out.dropped += 1
                self._lose(event[2], event[5] + self._policy.timeout)
        number = min(self._fleet.accepts, len(accepting))
        taken.extend(accepting.popleft() for _ in range(number))
        return taken

    def _change(self, now: float) -> float:
        """Write an account: who tracks hears of it one after the other, and asks for the mark."""
        now += self._write
        began, heard = self._next_write, []
        for number, view in enumerate(self._views):
            if view.is_tracking:
                now += self._push
                heard.append(now + self._fleet.network - began)
                self._ask(number, Step.REVISION, now + self._fleet.network)
        self._out.heard.append(heard)
        self._next_write += 1 / self._fleet.writes
        return now

    def _answer(self, event: _Event, now: float) -> bool:
        """Let the view go on; return whether it is live for the first time."""
        _, _, number, step, connection, sent = event
        view = self._views[number]
        if connection != view.connection:
            return False  # it had given up, and Redis worked for nobody
        is_greeting = step in (Step.CONNECT, Step.HELLO)
        # Connecting has one limit for all of it, each question after that one of its own.
        asked = view.began if is_greeting else sent
        if step is not Step.READ and now - asked > self._policy.timeout:
            self._out.timeouts += 1
            self._lose(number, max(asked + self._policy.timeout, 0.0))
            return False
        if step is Step.PING:
            return self._beat(number, view, sent, now)
        if step in (Step.ROLE, Step.FIRST_ROLE):
            view.primary = sent
        if step is Step.ROLE:
            self._ask(number, Step.ROLE, now + self._policy.max_staleness / 4)
        elif step is Step.CONFIG:
            self._ask(number, Step.PING, now)
            self._ask(number, Step.ROLE, now + self._policy.max_staleness / 4)
        elif step in _NEXT:
            view.is_tracking = view.is_tracking or step is Step.TRACKING
            self._ask(number, _NEXT[step], now)
            if step is Step.FIRST_REVISION:
                for _ in range(self._fleet.cold):
                    self._ask(number, Step.READ, now + self._random.random())
        return False

    def _beat(self, number: int, view: View, sent: float, now: float) -> bool:
        was_first = False
        if view.proven is not None:
            self._count_dead(view, now)
            until = min(view.proven, view.primary) + self._policy.max_staleness
            view.live_until = max(view.live_until, until)
            if view.first_live is None and view.live_until > now:
                view.first_live, was_first = now, True
        due = now if view.proven is None else max(now, sent + self._policy.heartbeat)
        view.proven = sent
        self._ask(number, Step.PING, due)
        return was_first

    def _count_dead(self, view: View, now: float) -> None:
        dead = now - max(view.live_until, view.counted, self._out.since)
        view.counted = now
        if dead > 0 and view.first_live is not None:
            self._out.lapses += 1
            self._out.dead_seconds += dead

    def _lose(self, number: int, at: float) -> None:
        view = self._views[number]
        lasted = at - view.began > self._policy.max_backoff
        view.failures = 0 if lasted else view.failures + 1
        self._connect(number, at + self._pause(view))
