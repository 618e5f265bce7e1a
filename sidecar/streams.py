"""What is in flight, by subject, and cutting it.

A grant is not for ever: an open stream ends when its subject is disabled, its token is revoked or
expires, or when the account store has been silent for longer than the lease. Fronts register every
granted request (an upload of hours is a stream too) and say how it is cut at once.

Why registering cannot miss a change: the decision's last step and the registration happen in one
turn of the event loop, and changes are heard in the same loop. A change that was heard before the
decision was judged by it; one that comes later finds the registration.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from types import TracebackType
from typing import Protocol, Self

from sidecar.core.access import check_standing
from sidecar.core.decision import Denied, Grant
from sidecar.core.subject import Standing, SubjectKey
from sidecar.ports import (
    AccountView,
    Change,
    Clock,
    CutReason,
    Observer,
    OnExpiry,
    StatusUnavailable,
    StreamKind,
)

log = logging.getLogger(__name__)

# In one turn of the event loop so many streams are cut at most; between two turns other requests
# have theirs. To cut one costs about half a millisecond, with what its tasks do at their end.
CUT_PER_TURN = 8
# Changes, and tokens within one, that wait for an answer at the same time.
_JUDGED_AT_ONCE = 32
# To look at one without cutting it costs less than a microsecond.
_LOOKED_AT_PER_TURN = 2000


class Cut(Protocol):
    """Ends a stream at once: it aborts a transport, never awaits and never raises."""

    def __call__(self, reason: CutReason, /) -> None: ...


class Stream:
    """One granted request in flight. A context manager: leaving it takes it off the books."""

    __slots__ = ("_cut", "_leave", "grant", "is_endless", "is_open", "kind", "since")

    def __init__(
        self, grant: Grant, kind: StreamKind, cut: Cut, leave: "_Leave", since: float
    ) -> None:
        self.grant = grant
        self.since = since  # epoch seconds
        self.kind = kind
        self.is_open = True  # neither cut nor left
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


class Streams:
    """The book of everything in flight. ``now`` is the wall clock, for people who look."""

    def __init__(self, observer: Observer, now: Callable[[], float] = lambda: 0.0) -> None:
        self._observer = observer
        self._now = now
        self._by_subject: dict[SubjectKey, dict[Stream, None]] = {}

    def registered(self, grant: Grant, kind: StreamKind, cut: Cut) -> Stream:
        """Enter a granted request; use the result in a ``with`` statement.

        Call it in the same turn of the event loop in which the decision was returned.
        """
        stream = Stream(grant, kind, cut, self._leave, self._now())
        self._observer.in_flight(kind, 1)
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
            if change.token_id is None or change.token_id == _token_of(stream)[1]
        ]

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
        self._observer.in_flight(stream.kind, -1)
        if stream.grant.principal is None:
            return
        key = stream.grant.principal.key
        streams = self._by_subject.get(key)
        if streams is not None:
            streams.pop(stream, None)
            if not streams:
                del self._by_subject[key]


class StreamGuard:
    """Watches the account view and the clock, and cuts what may no longer run.

    The lease is looked at every ``lease_seconds``, expiry every ``expiry_seconds``. ``on_expiry``
    may let plain responses finish when their token expires; revocation cuts those too.

    However many are concerned, no turn of the event loop gets long: they are judged and cut in
    batches. Those who have something to cut take turns, so that a revocation does not queue behind
    the ten thousand streams of a lapsed lease.
    """

    def __init__(
        self,
        streams: Streams,
        accounts: AccountView,
        clock: Clock,
        leeways: Mapping[str, float],
        *,
        on_expiry: OnExpiry = OnExpiry.CUT,
        lease_seconds: float = 0.05,
        expiry_seconds: float = 0.25,
    ) -> None:
        self._streams = streams
        self._accounts = accounts
        self._clock = clock
        self._leeways = leeways
        self._on_expiry = on_expiry
        self._lease_seconds = lease_seconds
        self._expiry_seconds = expiry_seconds
        self._pending: dict[Change, None] = {}
        self._woken = asyncio.Event()
        self._judging = asyncio.Semaphore(_JUDGED_AT_ONCE)
        self._cutting = asyncio.Lock()
        accounts.watch(self._hear)

    async def run(self) -> None:
        """Guard until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._recheck_changes(tasks))
            tasks.create_task(_every(self._lease_seconds, self.cut_unproven))
            tasks.create_task(_every(self._expiry_seconds, self.cut_expired))

    async def cut_unproven(self) -> None:
        """Cut every stream that carries a subject when the view's lease has lapsed."""
        if not self._accounts.is_live():
            await self._cut(self._streams.of(Change()), CutReason.STATUS_UNAVAILABLE)

    async def cut_expired(self) -> None:
        """Cut every stream whose token has expired, but for those that may finish."""
        now = self._clock.now()
        for batch in _batches(self._streams.of(Change()), _LOOKED_AT_PER_TURN):
            await self._cut([each for each in batch if self._ends_at(each, now)], CutReason.EXPIRED)
            await asyncio.sleep(0)

    async def recheck(self, change: Change) -> None:
        """Judge again the streams that a change concerns, and cut those that no longer stand."""
        for batch in _batches(self._streams.of(change), _JUDGED_AT_ONCE):
            by_token: dict[tuple[SubjectKey, str | None], list[Stream]] = {}
            for stream in batch:
                by_token.setdefault(_token_of(stream), []).append(stream)
            async with asyncio.TaskGroup() as tasks:
                for token, streams in by_token.items():
                    tasks.create_task(self._recheck_token(*token, streams))

    async def _cut(self, streams: list[Stream], reason: CutReason) -> None:
        for batch in _batches(streams, CUT_PER_TURN):
            async with self._cutting:  # first come, first served, a batch each
                self._streams.cut(batch, reason)
                await asyncio.sleep(0)

    async def _recheck_token(
        self, key: SubjectKey, token_id: str | None, streams: list[Stream]
    ) -> None:
        try:
            standing = self._accounts.look_up(key, token_id)
            if standing is None:
                standing = await self._accounts.read(key, token_id)
        except StatusUnavailable:
            # Whether the subject still stands cannot be known: that is not a reason to go on.
            await self._cut(streams, CutReason.STATUS_UNAVAILABLE)
            return
        except Exception:
            log.exception("a subject could not be judged again; its streams are cut")
            await self._cut(streams, CutReason.STATUS_UNAVAILABLE)
            return
        fallen = [stream for stream in streams if not _still_stands(stream.grant, standing)]
        await self._cut(fallen, CutReason.REVOKED)

    def _hear(self, change: Change) -> None:
        if self._streams.of(change):
            self._pending[change] = None
            self._woken.set()

    async def _recheck_changes(self, tasks: asyncio.TaskGroup) -> None:
        while True:
            await self._woken.wait()
            self._woken.clear()
            changes, self._pending = self._pending, {}
            for change in changes:
                # Not awaited here: one slow answer must not delay the cuts of other subjects.
                await self._judging.acquire()
                tasks.create_task(self._recheck_in_turn(change))

    async def _recheck_in_turn(self, change: Change) -> None:
        try:
            await self.recheck(change)
        finally:
            self._judging.release()

    def _ends_at(self, stream: Stream, now: float) -> bool:
        principal = stream.grant.principal
        return (
            principal is not None
            and now >= principal.expires_at + self._leeways.get(principal.issuer, 0.0)
            and (stream.is_endless or self._on_expiry is OnExpiry.CUT)
        )


def _token_of(stream: Stream) -> tuple[SubjectKey, str | None]:
    principal = stream.grant.principal
    assert principal is not None, "only streams with a principal are booked by subject"  # noqa: S101
    return principal.key, principal.token_id


def _still_stands(grant: Grant, standing: Standing) -> bool:
    try:
        check_standing(grant, standing)
    except Denied:
        return False
    return True


async def _every(seconds: float, act: Callable[[], Awaitable[None]]) -> None:
    while True:
        await asyncio.sleep(seconds)
        await act()


def _batches(streams: list[Stream], size: int) -> Iterator[list[Stream]]:
    return (streams[first : first + size] for first in range(0, len(streams), size))
