"""Watches what is in flight, and cuts what may no longer run.

How streams are registered, and why no change can be missed by that, is in ``streams``.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping

from sidecar.core.access import check_standing
from sidecar.core.decision import Denied, Grant
from sidecar.core.subject import Standing, SubjectKey
from sidecar.ports import (
    AccountView,
    Change,
    Clock,
    CutReason,
    OnExpiry,
    StatusUnavailable,
)
from sidecar.streams import CUT_PER_TURN, Stream, Streams, token_of

log = logging.getLogger(__name__)

# Changes, and tokens within one, that wait for an answer at the same time.
_JUDGED_AT_ONCE = 32
# To look at one without cutting it costs less than a microsecond.
_LOOKED_AT_PER_TURN = 2000


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
                by_token.setdefault(token_of(stream), []).append(stream)
            async with asyncio.TaskGroup() as tasks:
                for token, streams in by_token.items():
                    tasks.create_task(self._recheck_token(*token, streams))

    async def _cut(self, streams: list[Stream], reason: CutReason) -> None:
        # Who was spared once goes on, and is not told of at each look.
        streams = [stream for stream in streams if not stream.is_spared]
        for batch in _batches(streams, CUT_PER_TURN):
            async with self._cutting:  # first come, first served, a batch each
                self._streams.cut(self._streams.enforced(batch, reason), reason)
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
