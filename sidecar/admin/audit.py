"""``/api/audit``: who changed what, from the account store."""

from collections.abc import Sequence
from dataclasses import asdict

from aiohttp import web

from sidecar.adapters.audit_trail import AuditTrail
from sidecar.admin.answers import answer
from sidecar.admin.operations import Call, Operation
from sidecar.admin.schemas import AuditAsked, AuditList


class AuditOperations:
    """Answers with what ``trail`` has kept."""

    def __init__(self, trail: AuditTrail) -> None:
        self._trail = trail

    def rows(self) -> Sequence[Operation]:
        """Return what can be done."""
        return (
            Operation(
                "listAudit", "GET", "/api/audit", "See who changed what, the newest first",
                self._list, {200: AuditList}, query=AuditAsked,
            ),
        )  # fmt: skip

    async def _list(self, call: Call) -> web.Response:
        asked: AuditAsked = call.query
        found = await self._trail.newest(asked.limit, asked.before)
        return answer(200, {"entries": [asdict(each) for each in found]})
