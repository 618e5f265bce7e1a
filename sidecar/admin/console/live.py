"""What keeps a page up to date: server-sent events that carry parts of the page, made here.

Whoever listens is judged again every second and before each event, and does not stay signed in by
listening. A bounded number may listen, and one that does not read is left.
"""

import asyncio
from collections.abc import Awaitable, Callable

from aiohttp import web

from sidecar.admin.answers import Refused
from sidecar.admin.api import refusal_of
from sidecar.admin.console.entrance import Entrance, Visit
from sidecar.admin.console.pages import SAFE

_MOST_LISTENERS = 16
_STALLED_SECONDS = 10.0

NextEvents = Callable[[], Awaitable[str]]
"""Waits for what is to be told, for a second at most; empty where there is nothing."""


class Live:
    """Tells listeners what happens."""

    def __init__(self, entrance: Entrance, *, most: int = _MOST_LISTENERS) -> None:
        self._entrance = entrance
        self._most = most
        self._listeners = 0

    async def tell(self, visit: Visit, next_events: NextEvents) -> web.StreamResponse:
        """Tell until the listener leaves, or may no longer be told.

        Raises:
            Refused: 429, too many listen already.
        """
        if self._listeners >= self._most:
            raise Refused(429, "too many look at once", {"Retry-After": "10"})
        self._listeners += 1
        try:
            response = web.StreamResponse(
                headers={**SAFE, "Content-Type": "text/event-stream", "X-Accel-Buffering": "no"}
            )
            await response.prepare(visit.request)
            try:
                await self._tell(visit, response, next_events)
            except Exception as problem:  # noqa: BLE001 - what is not known is logged there
                # The answer has begun, so that no other can be given: it ends, and the script asks
                # again in a while.
                refusal_of(problem)
            return response
        finally:
            self._listeners -= 1

    async def _tell(
        self, visit: Visit, response: web.StreamResponse, next_events: NextEvents
    ) -> None:
        text = ": listening\n\n"
        while True:
            try:
                async with asyncio.timeout(_STALLED_SECONDS):
                    await response.write((text or ": nothing\n\n").encode())
            except (OSError, TimeoutError):
                return
            text = await next_events()
            if not await self._may_be_told(visit):
                await response.write(event("end", "signed out").encode())
                return

    async def _may_be_told(self, visit: Visit) -> bool:
        try:
            return await self._entrance.find(visit.request, touch=False) is visit.session
        except Refused:
            return False


def event(name: str, data: str) -> str:
    """Return an event as it is written (HTML, 9.2.5); ``data`` may have several lines."""
    lines = data.replace("\r", "").split("\n")
    return f"event: {name}\n" + "".join(f"data: {line}\n" for line in lines) + "\n"
