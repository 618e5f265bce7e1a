"""``/api/streams``: what is in flight, and cutting it while the account stays as it is."""

import logging
from collections.abc import Sequence

from aiohttp import web

from sidecar.admin.answers import Refused, answer
from sidecar.admin.desk import Desk
from sidecar.admin.operations import Call, Operation
from sidecar.admin.realms import Realms
from sidecar.admin.schemas import CutStreams, StreamList, StreamsAsked, ToCut
from sidecar.core.subject import SubjectKey
from sidecar.ports import Auditor, AuditRecord, Clock

log = logging.getLogger(__name__)


class StreamOperations:
    """Answers for streams, which ``desk`` knows."""

    def __init__(self, realms: Realms, desk: Desk, clock: Clock, auditor: Auditor) -> None:
        self._realms = realms
        self._desk = desk
        self._clock = clock
        self._auditor = auditor

    def rows(self) -> Sequence[Operation]:
        """Return what can be done."""
        return (
            Operation(
                "listStreams", "GET", "/api/streams", "List what is in flight",
                self._list, {200: StreamList}, query=StreamsAsked,
            ),
            Operation(
                "cutStreams", "POST", "/api/streams/cut",
                "Cut what a subject has in flight now; it may come again",
                self._cut, {200: CutStreams}, frozenset({404, 422}), body=ToCut,
            ),
        )  # fmt: skip

    async def _list(self, call: Call) -> web.Response:
        asked: StreamsAsked = call.query
        found = await self._desk.streams(asked.realm, asked.subject, asked.limit)
        return answer(200, {"streams": list(found.rows), "silent": list(found.silent)})

    async def _cut(self, call: Call) -> web.Response:
        asked: ToCut = call.body
        key = SubjectKey(self._realms.find(asked.realm), asked.subject)
        cut = await self._desk.cut(key)
        if cut.streams or cut.silent:
            self._auditor.audited(
                AuditRecord(self._clock.now(), call.actor, "cut_streams", key, streams=cut.streams)
            )
        if cut.silent:
            log.error("workers %s did not say whether they cut streams", cut.silent)
            raise Refused(503, f"{cut.streams} were cut; not all workers answer, try again")
        return answer(200, {"cut": cut.streams})
