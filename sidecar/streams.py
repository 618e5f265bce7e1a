"""What is in flight, by subject, and cutting it.

A grant is not for ever: an open stream ends when its subject is disabled, its token is revoked or
expires, or when the account store has been silent for longer than the lease. Fronts register every
granted request (an upload of hours is a stream too) and say how it is cut at once.

Why registering cannot miss a change: the decision's last step and the registration happen in one
turn of the event loop, and changes are heard in the same loop. A change that was heard before the
decision was judged by it; one that comes later finds the registration.
"""

import logging
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Protocol, Self

from sidecar.core.decision import Grant
from sidecar.core.subject import SubjectKey
from sidecar.ports import Change, CutReason, Observer, StreamKind

log = logging.getLogger(__name__)

# In one turn of the event loop so many streams are cut at most; between two turns other requests
# have theirs. To cut one costs about half a millisecond, with what its tasks do at their end.
CUT_PER_TURN = 8


class Cut(Protocol):
    """Ends a stream at once: it aborts a transport, never awaits and never raises."""

    def __call__(self, reason: CutReason, /) -> None: ...


class Stream:
    """One granted request in flight. A context manager: leaving it takes it off the books."""

    __slots__ = ("_cut", "_leave", "grant", "is_endless", "is_open", "is_spared", "kind", "since")

    def __init__(
        self, grant: Grant, kind: StreamKind, cut: Cut, leave: "_Leave", since: float
    ) -> None:
        self.grant = grant
        self.since = since  # epoch seconds
        self.kind = kind
        self.is_open = True  # neither cut nor left
        self.is_spared = False  # it was to be cut, and its route's shadow let it go on
        # It has no end of its own, so that to let it finish would be to let it go on for ever. A
        # front that sees by the answer's head that it is one says so.
        self.is_endless = kind is StreamKind.WEBSOCKET
        self._cut = cut
        self._leave = leave

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.leave()

    def leave(self) -> None:
        """Take it off the books."""
        self.is_open = False
        # Whoever is cut by it holds it: the ring would keep both for the next full collection.
        self._cut = _cut_nobody
        self._leave(self)

    def cut(self, reason: CutReason) -> None:
        """End the stream; a second call does nothing.

        Nor does a call after it was left, while its subject was being judged again: by then its
        connection may carry somebody else's request.
        """
        if self.is_open:
            self.is_open = False
            self._cut(reason)


_Leave = Callable[[Stream], None]


def _cut_nobody(reason: CutReason, /) -> None:
    del reason


class Streams:
    """The book of everything ``in_flight``. ``now`` is the wall clock, for people who look."""

    def __init__(self, observer: Observer, now: Callable[[], float] = lambda: 0.0) -> None:
        self._observer = observer
        self._now = now
        self.in_flight = 0
        self._by_subject: dict[SubjectKey, dict[Stream, None]] = {}

    def registered(self, grant: Grant, kind: StreamKind, cut: Cut) -> Stream:
        """Enter a granted request; use the result in a ``with`` statement.

        Call it in the same turn of the event loop in which the decision was returned.
        """
        stream = Stream(grant, kind, cut, self._leave, self._now())
        self.in_flight += 1
        self._observer.in_flight(kind, 1)
        if grant.slot is not None:
            grant.slot.take()
        if grant.principal is not None:
            self._by_subject.setdefault(grant.principal.key, {})[stream] = None
        return stream

    def of(self, change: Change) -> list[Stream]:
        """Return the streams that a change may concern."""
        if change.realm is not None and change.subject is not None:
            concerned: Iterable[Stream] = self._by_subject.get(
                SubjectKey(change.realm, change.subject), ()
            )
        else:
            concerned = (
                stream
                for key, streams in self._by_subject.items()
                if change.realm in (None, key.realm)
                for stream in streams
            )
        return [
            stream
            for stream in concerned
            if change.token_id is None or change.token_id == token_of(stream)[1]
        ]

    def enforced(self, streams: Iterable[Stream], reason: CutReason) -> list[Stream]:
        """Return which of these a decision may cut: none of a route in shadow, which is told once.

        Who cuts by hand does not ask: that is no decision.
        """
        found = []
        for stream in streams:
            if not stream.grant.route.shadow:
                found.append(stream)
            elif stream.is_open and not stream.is_spared:
                stream.is_spared = True
                self._observer.spared(reason, stream.grant)
        return found

    def cut(self, streams: Iterable[Stream], reason: CutReason) -> int:
        """Cut these streams; return how many were still open."""
        ended = 0
        for stream in list(streams):
            ended += stream.is_open
            try:
                stream.cut(reason)
            except Exception:
                # One front's bug must not spare the streams that come after it.
                log.exception("a stream could not be cut")
        if ended:
            self._observer.cut(reason, ended)
        return ended

    def _leave(self, stream: Stream) -> None:
        self.in_flight -= 1
        self._observer.in_flight(stream.kind, -1)
        if stream.grant.slot is not None:
            stream.grant.slot.give_back()
        if stream.grant.principal is None:
            return
        key = stream.grant.principal.key
        streams = self._by_subject.get(key)
        if streams is not None:
            streams.pop(stream, None)
            if not streams:
                del self._by_subject[key]


def token_of(stream: Stream) -> tuple[SubjectKey, str | None]:
    """Return whose a stream is and its ``jti``; it has to be one that carries a principal."""
    principal = stream.grant.principal
    assert principal is not None, "only streams with a principal are booked by subject"  # noqa: S101
    return principal.key, principal.token_id
