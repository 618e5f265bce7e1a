"""The latest decisions, in memory, for people who look for what just happened."""

import asyncio
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

from typing_extensions import override

from sidecar.core.decision import Decision, caller_in
from sidecar.core.request import AccessRequest
from sidecar.core.subject import SubjectKey
from sidecar.observability.decision_log import decision_members
from sidecar.observability.silent import SilentObserver
from sidecar.ports import Clock

CAPACITY = 1000
_FOLLOWED_BEHIND = 1000
_TRAFFIC_SECONDS = 60.0
_LEAST_SECONDS = 0.01

Row = Mapping[str, object]
"""A decision, with the members of a line of the decision log."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which decisions; what is empty matches all."""

    outcome: str = ""
    reason: str = ""
    realm: str = ""
    subject: str = ""
    route: str = ""

    def matches(self, row: Row) -> bool:
        """Say whether this is one."""
        return all(
            wanted in ("", row.get(name))
            for name, wanted in (
                ("outcome", self.outcome),
                ("reason", self.reason),
                ("realm", self.realm),
                ("subject", self.subject),
                ("route", self.route),
            )
        )


@dataclass(slots=True)
class Traffic:
    """What a subject asked for lately: decisions a second, and when the latest was (epoch s)."""

    rate: float = 0.0
    seen: float = 0.0


class _Seen(NamedTuple):
    """What is kept of a request and its decision: made on the hot path, so no more than that."""

    method: str
    host: str
    path: str
    peer: str
    request_id: str
    decision: Decision
    seconds: float
    at: float

    def row(self) -> Row:
        request = AccessRequest(
            self.method, self.host, self.path, "", (), self.peer, self.request_id
        )
        return decision_members(request, self.decision, self.seconds, self.at)


class Follower:
    """Gets decisions as they are made; where they come too fast for it, how many it has missed."""

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self._seen: asyncio.Queue[_Seen] = asyncio.Queue(_FOLLOWED_BEHIND)
        self._missed = 0

    def hear(self, seen: _Seen) -> None:
        """Take one, or count it as missed; never waits."""
        try:
            self._seen.put_nowait(seen)
        except asyncio.QueueFull:
            self._missed += 1

    async def next(self) -> Row:
        """Return the next one that is wanted, or ``{"event": "missed", "missed": number}``."""
        while True:
            if self._missed:
                missed, self._missed = self._missed, 0
                return {"event": "missed", "missed": missed}
            row = (await self._seen.get()).row()
            if self._wanted.matches(row):
                return row


class RecentDecisions(SilentObserver):
    """Implements ``ports.Observer``. Keeps no token: neither the header's nor a query's."""

    def __init__(self, clock: Clock, capacity: int = CAPACITY) -> None:
        self._clock = clock
        self._seen: deque[_Seen] = deque(maxlen=capacity)
        self._followers: set[Follower] = set()

    @override
    def decided(self, request: AccessRequest, decision: Decision, seconds: float) -> None:
        seen = _Seen(
            request.method,
            request.host[:256],
            request.path[:2048],
            request.peer,
            request.request_id,
            decision,
            seconds,
            self._clock.now(),
        )
        self._seen.append(seen)
        for follower in self._followers:
            follower.hear(seen)

    def newest(self, wanted: Wanted, limit: int) -> list[Row]:
        """Return so many of those that are wanted, the newest first."""
        found: list[Row] = []
        for seen in reversed(self._seen):
            row = seen.row()
            if wanted.matches(row):
                found.append(row)
                if len(found) == limit:
                    break
        return found

    def traffic(self) -> Mapping[SubjectKey, Traffic]:
        """Return what each subject asked for within the last minute.

        Or within as much of it as is kept: with many requests that is less than a second.
        """
        now, found = self._clock.now(), dict[SubjectKey, Traffic]()
        is_full = len(self._seen) == self._seen.maxlen
        kept = now - self._seen[0].at if is_full else _TRAFFIC_SECONDS
        seconds = min(_TRAFFIC_SECONDS, max(_LEAST_SECONDS, kept))
        for seen in reversed(self._seen):
            if now - seen.at > seconds:
                break
            caller = caller_in(seen.decision)
            if caller is not None:
                traffic = found.setdefault(caller.key, Traffic(seen=seen.at))
                traffic.rate += 1 / seconds
        return found

    @contextmanager
    def followed(self, wanted: Wanted) -> Iterator[Follower]:
        """Give what hears the decisions of the block."""
        follower = Follower(wanted)
        self._followers.add(follower)
        try:
            yield follower
        finally:
            self._followers.discard(follower)
