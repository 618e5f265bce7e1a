"""What the admin API sees of those who serve: streams in flight, and decisions.

With one worker they are in this process. With several they are in others: ``worker_desks``.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from sidecar.core.subject import SubjectKey
from sidecar.observability.recent_decisions import RecentDecisions, Traffic, Wanted
from sidecar.ports import Change, CutReason
from sidecar.streams import CUT_PER_TURN, Stream, Streams

MOST_ACTIVE = 10_000
"""Of so many subjects activity is told at most, of each worker."""

Row = Mapping[str, Any]
Next = Callable[[], Awaitable[Row]]


@dataclass(frozen=True, slots=True)
class Seen:
    """What was found, and the process ids of the workers that did not say."""

    rows: Sequence[Row]
    silent: Sequence[int] = ()


@dataclass(frozen=True, slots=True)
class WereCut:
    """How many streams were cut, and the process ids of the workers that did not say."""

    streams: int
    silent: Sequence[int] = ()


class Desk(Protocol):
    """Asks those who serve."""

    async def streams(self, realm: str, subject: str, limit: int) -> Seen:
        """Return so many streams, the oldest first; an empty name stands for all."""
        ...

    async def cut(self, key: SubjectKey) -> WereCut:
        """Cut what the subject has in flight now."""
        ...

    async def activity(self) -> Seen:
        """Return who has streams in flight, how many, and who asked for something lately."""
        ...

    async def decisions(self, wanted: Wanted, limit: int) -> Seen:
        """Return so many decisions, the newest first."""
        ...

    def followed(self, wanted: Wanted) -> AbstractAsyncContextManager[Next]:
        """Give what waits for the next decision."""
        ...


class OwnDesk:
    """Implements ``Desk`` for this process, ``worker`` by its id."""

    def __init__(self, recent: RecentDecisions, worker: int) -> None:
        self.recent = recent
        self._worker = worker
        self._books: list[Streams] = []

    @contextmanager
    def entered(self, streams: Streams) -> Iterator[Streams]:
        """Look into this book too, until the block ends: after a reload there are two."""
        self._books.append(streams)
        try:
            yield streams
        finally:
            self._books.remove(streams)

    async def streams(self, realm: str, subject: str, limit: int) -> Seen:
        change = Change(realm or None, subject or None)
        found = [
            stream
            for book in self._books
            for stream in book.of(change)
            if subject in ("", _subject_of(stream))
        ]
        found.sort(key=lambda stream: stream.since)
        return Seen([{"worker": self._worker, **_row(stream)} for stream in found[:limit]])

    async def cut(self, key: SubjectKey) -> WereCut:
        found = [(book, book.of(Change(key.realm, key.subject))) for book in self._books]
        count = 0
        for book, streams in found:
            # Some in each turn of the event loop: other requests have theirs.
            for first in range(0, len(streams), CUT_PER_TURN):
                some = streams[first : first + CUT_PER_TURN]
                count += book.cut(some, CutReason.REVOKED)
                await asyncio.sleep(0)
        return WereCut(count)

    async def activity(self) -> Seen:
        streams = Counter(
            principal.key
            for book in self._books
            for stream in book.of(Change())
            if (principal := stream.grant.principal) is not None
        )
        traffic = self.recent.traffic()
        keys = list(dict.fromkeys((*streams, *traffic)))[:MOST_ACTIVE]
        return Seen([_activity(key, streams[key], traffic.get(key, Traffic())) for key in keys])

    async def decisions(self, wanted: Wanted, limit: int) -> Seen:
        rows = self.recent.newest(wanted, limit)
        return Seen([{"worker": self._worker, **row} for row in rows])

    @asynccontextmanager
    async def followed(self, wanted: Wanted) -> AsyncIterator[Next]:
        with self.recent.followed(wanted) as follower:

            async def following() -> Row:
                return {"worker": self._worker, **await follower.next()}

            yield following


def _subject_of(stream: Stream) -> str:
    principal = stream.grant.principal
    return "" if principal is None else principal.key.subject


def _activity(key: SubjectKey, streams: int, traffic: Traffic) -> Row:
    return {**key._asdict(), "streams": streams, "rate": traffic.rate, "seen": traffic.seen}


def _row(stream: Stream) -> Row:
    principal = stream.grant.principal
    return {
        "realm": "" if principal is None else principal.key.realm,
        "subject": _subject_of(stream),
        "client_id": "" if principal is None else principal.client_id,
        "kind": stream.kind.value,
        "route": stream.grant.route.name,
        "since": stream.since,
    }
