"""The admin API: for each request who asks, then what, then the operation.

Whatever is refused is answered as the Hoop gateway does: ``{"message": ...}``.
"""

import logging
from collections.abc import Sequence

from aiohttp import web

from sidecar.adapters.audit_trail import AuditTrail
from sidecar.admin.answers import Refused, answer
from sidecar.admin.gatekeeper import Gatekeeper
from sidecar.admin.openapi import PATH, document
from sidecar.admin.operations import Call, Operation, Operations
from sidecar.admin.reading import read_posted, read_query
from sidecar.ports import AccountExists, AccountNotFound, Contended, StatusUnavailable
from sidecar.service_accounts import BadAccount

log = logging.getLogger(__name__)

_SAFE = ("GET", "HEAD")
_SETTLE_SECONDS = 1.0


class AdminApi:
    """Answers requests by ``rows``. A body may take ``body_seconds``."""

    def __init__(
        self,
        gatekeeper: Gatekeeper,
        rows: Sequence[Operation],
        trail: AuditTrail,
        *,
        body_seconds: float = 10.0,
    ) -> None:
        self._gatekeeper = gatekeeper
        self._trail = trail
        self._body_seconds = body_seconds
        self._document = document(rows)
        described = Operation(
            "describe", "GET", PATH, "This document", self._describe, {200: object}, is_open=True
        )
        self.operations = Operations((*rows, described))

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request. Raises nothing but ``CancelledError``."""
        try:
            return await self._answer(request)
        except Refused as refused:
            return _answer_of(refused)
        except Exception as problem:  # noqa: BLE001 - what is not known is logged there
            return _answer_of(refusal_of(problem))

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        self._gatekeeper.check_site(request)
        raw_path = request.rel_url.raw_path
        if raw_path == PATH:
            actor = ""
        else:
            # Who may not come in does not learn which paths there are.
            actor = await self._gatekeeper.admit(request)
        operation, path = self.operations.find(request.method, raw_path)
        query = read_query(request, operation.query)
        body = None
        if operation.body is not None:
            body = await read_posted(request, operation.body, self._body_seconds)
        try:
            return await operation.handler(Call(request, actor, path, query, body))
        finally:
            if request.method not in _SAFE:
                # Whoever looks into the trail next finds what was done here.
                await self._trail.settle(_SETTLE_SECONDS)

    async def _describe(self, call: Call) -> web.Response:
        del call
        return answer(200, self._document)


def _answer_of(refused: Refused) -> web.Response:
    return answer(refused.status, {"message": refused.message}, refused.headers)


def refusal_of(problem: Exception) -> Refused:
    """Return what the client is told of a problem; what is not its own is logged."""
    match problem:
        case AccountExists():
            refusal = Refused(409, "resource already exists")
        case AccountNotFound():
            refusal = Refused(404, "resource not found")
        case Contended():
            refusal = Refused(409, str(problem))
        case BadAccount():
            refusal = Refused(422, str(problem))
        case StatusUnavailable():
            log.warning("the admin API cannot answer: %s", problem)
            words = "the account store does not answer; try again"
            refusal = Refused(503, words, {"Retry-After": "1"})
        case _:
            log.error("the admin API failed", exc_info=problem)
            refusal = Refused(500, "internal server error")
    return refusal
