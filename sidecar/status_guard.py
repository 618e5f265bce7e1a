"""Cuts what is in flight under a token that its issuer's status list does not call valid any more.

A list says nothing by itself: it is looked at again and again, as it is refreshed. A stream whose
list cannot be had any more is cut too, as its next request would be refused.
"""

import asyncio
from collections.abc import Mapping

from sidecar.core.decision import Denied
from sidecar.core.status_list import check_status
from sidecar.ports import Change, CutReason
from sidecar.status_lists import StatusLists
from sidecar.streams import CUT_PER_TURN, Stream, Streams

_LOOKED_AT_PER_TURN = 2000


class StatusGuard:
    """Looks at every stream each ``seconds``. ``streams`` is the book of what is in flight."""

    def __init__(self, streams: Streams, lists: StatusLists, *, seconds: float = 1.0) -> None:
        self._streams = streams
        self._lists = lists
        self._seconds = seconds

    async def run(self) -> None:
        """Guard until cancelled."""
        while True:
            await asyncio.sleep(self._seconds)
            await self.cut_fallen()

    async def cut_fallen(self) -> None:
        """Cut what has no good status now. No turn of the event loop gets long."""
        streams = self._streams.of(Change())
        for first in range(0, len(streams), _LOOKED_AT_PER_TURN):
            batch = streams[first : first + _LOOKED_AT_PER_TURN]
            fallen: Mapping[Stream, CutReason] = {
                stream: reason for stream in batch if (reason := self._judge(stream)) is not None
            }
            await self._cut(fallen)
            await asyncio.sleep(0)

    async def _cut(self, fallen: Mapping[Stream, CutReason]) -> None:
        for reason in dict.fromkeys(fallen.values()):
            streams = [stream for stream, why in fallen.items() if why is reason]
            for first in range(0, len(streams), CUT_PER_TURN):
                batch = streams[first : first + CUT_PER_TURN]
                self._streams.cut(self._streams.enforced(batch, reason), reason)
                await asyncio.sleep(0)

    def _judge(self, stream: Stream) -> CutReason | None:
        principal = stream.grant.principal
        if principal is None or principal.status is None or stream.is_spared:
            return None
        found = self._lists.look_up(principal.issuer, principal.status.uri)
        if found is None:
            return CutReason.STATUS_UNAVAILABLE
        try:
            check_status(found, principal.status)
        except Denied:
            return CutReason.REVOKED
        return None
