"""``/api/decisions``: the latest decisions, and those to come as an event stream."""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Sequence

from aiohttp import web

from sidecar.admin.answers import COMMON, Refused, answer
from sidecar.admin.desk import Desk, Next
from sidecar.admin.operations import Call, Operation
from sidecar.admin.schemas import Decision, DecisionList, DecisionsAsked
from sidecar.observability.recent_decisions import Wanted

log = logging.getLogger(__name__)

_EVENTS = "text/event-stream"
_LOOK_SECONDS = 1.0
_MOST_FOLLOWERS = 8
_STALLED_SECONDS = 10.0

StillAdmits = Callable[[web.BaseRequest], Awaitable[bool]]


class DecisionOperations:
    """Answers for decisions, which ``desk`` knows.

    An event stream ends when its reader would no longer be admitted, which is looked at every
    ``look_seconds`` and before each event.
    """

    def __init__(
        self, desk: Desk, still_admits: StillAdmits, *, look_seconds: float = _LOOK_SECONDS
    ) -> None:
        self._desk = desk
        self._still_admits = still_admits
        self._look_seconds = look_seconds
        self._followers = 0

    def rows(self) -> Sequence[Operation]:
        """Return what can be done."""
        return (
            Operation(
                "listDecisions", "GET", "/api/decisions",
                "See the latest decisions, or those to come (Accept: text/event-stream)",
                self._list, {200: DecisionList}, query=DecisionsAsked, events=Decision,
            ),
        )  # fmt: skip

    async def _list(self, call: Call) -> web.StreamResponse:
        asked: DecisionsAsked = call.query
        wanted = Wanted(asked.outcome, asked.reason, asked.realm, asked.subject, asked.route)
        if call.request.method == "GET" and _EVENTS in call.request.headers.get("Accept", ""):
            return await self._follow(call.request, wanted)
        found = await self._desk.decisions(wanted, asked.limit)
        return answer(200, {"decisions": list(found.rows), "silent": list(found.silent)})

    async def _follow(self, request: web.BaseRequest, wanted: Wanted) -> web.StreamResponse:
        if self._followers >= _MOST_FOLLOWERS:
            raise Refused(429, "too many follow already", {"Retry-After": "10"})
        self._followers += 1
        try:
            async with self._desk.followed(wanted) as following:
                response = web.StreamResponse(
                    headers={**COMMON, "Content-Type": _EVENTS, "X-Accel-Buffering": "no"}
                )
                await response.prepare(request)
                try:
                    await self._tell(request, response, following)
                except Exception:
                    # The answer has begun: another one within it would leave the client waiting.
                    log.exception("a follower of decisions is told no more")
                return response
        finally:
            self._followers -= 1

    async def _tell(
        self, request: web.BaseRequest, response: web.StreamResponse, following: Next
    ) -> None:
        text = ": following\n\n"
        while await self._still_admits(request):
            try:
                async with asyncio.timeout(_STALLED_SECONDS):
                    await response.write(text.encode())
            except (OSError, TimeoutError):
                return
            try:
                async with asyncio.timeout(self._look_seconds):
                    row = await following()
            except TimeoutError:
                text = ": nothing\n\n"
            else:
                text = f"event: {row['event']}\ndata: {json.dumps(row)}\n\n"
