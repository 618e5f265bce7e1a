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
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Protocol

from sidecar.core.access import check_standing
from sidecar.core.decision import Denied, Grant
from sidecar.core.subject import Standing, SubjectKey
from sidecar.ports import (
    AccountView,
    Change,
    Clock,
    CutReason,
    Observer,
    StatusUnavailable,
    StreamKind,
)

log = logging.getLogger(__name__)


class Cut(Protocol):
    """Ends a stream at once: it aborts a transport, never awaits and never raises."""

    def __call__(self, reason: CutReason, /) -> None: ...


class Stream:
    """One granted request in flight. A context manager: leaving it takes it off the books."""

    __slots__ = ("_cut", "_leave", "grant", "is_open", "kind")

    def __init__(
        self, grant: Grant, kind: StreamKind, cut: Cut, leave: "Callable[[Stream], None]"
    ) -> None:
        self.grant = grant
        self.kind = kind
        self.is_open = True  # neither cut nor left
        self._cut = cut
        self._leave = leave

    def __enter__(self) -> None:
        return None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
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


class Streams:
    """The book of everything in flight."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self._by_subject: dict[SubjectKey, dict[Stream, None]] = {}

    def registered(self, grant: Grant, kind: StreamKind, cut: Cut) -> Stream:
        """Enter a granted request; use the result in a ``with`` statement.

        Call it in the same turn of the event loop in which the decision was returned.
        """
        stream = Stream(grant, kind, cut, self._leave)
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

    The lease is looked at every ``lease_seconds``, expiry every ``expiry_seconds``.
    """

    def __init__(
        self,
        streams: Streams,
        accounts: AccountView,
        clock: Clock,
        leeways: Mapping[str, float],
        *,
        lease_seconds: float = 0.05,
        expiry_seconds: float = 0.25,
    ) -> None:
        self._streams = streams
        self._accounts = accounts
        self._clock = clock
        self._leeways = leeways
        self._lease_seconds = lease_seconds
        self._expiry_seconds = expiry_seconds
        self._pending: dict[Change, None] = {}
        self._woken = asyncio.Event()
        accounts.watch(self._hear)

    async def run(self) -> None:
        """Guard until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._recheck_changes(tasks))
            tasks.create_task(_every(self._lease_seconds, self.check_lease))
            tasks.create_task(_every(self._expiry_seconds, self.check_expiry))

    def check_lease(self) -> None:
        """Cut every stream that carries a subject when the view's lease has lapsed."""
        if not self._accounts.is_live():
            self._streams.cut(self._streams.of(Change()), CutReason.STATUS_UNAVAILABLE)

    def check_expiry(self) -> None:
        """Cut every stream whose token has expired."""
        now = self._clock.now()
        expired = [stream for stream in self._streams.of(Change()) if self._is_expired(stream, now)]
        self._streams.cut(expired, CutReason.EXPIRED)

    async def recheck(self, change: Change) -> None:
        """Judge again the streams that a change concerns, and cut those that no longer stand."""
        by_token: dict[tuple[SubjectKey, str | None], list[Stream]] = {}
        for stream in self._streams.of(change):
            by_token.setdefault(_token_of(stream), []).append(stream)
        async with asyncio.TaskGroup() as tasks:
            for token, streams in by_token.items():
                tasks.create_task(self._recheck_token(*token, streams))

    async def _recheck_token(
        self, key: SubjectKey, token_id: str | None, streams: list[Stream]
    ) -> None:
        try:
            standing = self._accounts.look_up(key, token_id)
            if standing is None:
                standing = await self._accounts.read(key, token_id)
        except StatusUnavailable:
            # Whether the subject still stands cannot be known: that is not a reason to go on.
            self._streams.cut(streams, CutReason.STATUS_UNAVAILABLE)
            return
        except Exception:
            log.exception("a subject could not be judged again; its streams are cut")
            self._streams.cut(streams, CutReason.STATUS_UNAVAILABLE)
            return
        fallen = [stream for stream in streams if not _still_stands(stream.grant, standing)]
        self._streams.cut(fallen, CutReason.REVOKED)

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
                tasks.create_task(self.recheck(change))

    def _is_expired(self, stream: Stream, now: float) -> bool:
        principal = stream.grant.principal
        return principal is not None and now >= principal.expires_at + self._leeways.get(
            principal.issuer, 0.0
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


async def _every(seconds: float, act: Callable[[], None]) -> None:
    while True:
        await asyncio.sleep(seconds)
        act()
