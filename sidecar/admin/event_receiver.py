"""``POST /events/NAME``: where identity providers push security events (RFC 8935).

Its clients are outside, so it has a listener of its own, on which there is nothing else. Each
transmitter shows the secret that was agreed on with it, before anything it sent is read.
"""

import asyncio
import hmac
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from aiohttp import web

from sidecar.admin.answers import answer
from sidecar.admin.attempts import Attempts
from sidecar.admin.bodies import BodyRefused, read_body
from sidecar.core.security_event import EventRefusal, EventRefused
from sidecar.ports import Clock
from sidecar.security_events import EventsUnavailable

log = logging.getLogger(__name__)

_MEDIA_TYPE = "application/secevent+jwt"
_MAX_BODY_BYTES = 32768
_AT_ONCE = 16
_PREFIX = "/events/"

Take = Callable[[str], Awaitable[None]]
"""Puts a token's events into force; raises EventRefused or EventsUnavailable."""


@dataclass(frozen=True, slots=True)
class Entrance:
    """One transmitter's: the secret that it shows, and what takes its tokens."""

    secret: str = field(repr=False)
    take: Take


class EventReceiver:
    """Answers pushes, by the transmitter's name. A body may take ``body_seconds``."""

    def __init__(
        self, entrances: Mapping[str, Entrance], clock: Clock, *, body_seconds: float = 10.0
    ) -> None:
        self._entrances = entrances
        self._attempts = Attempts(clock)
        self._body_seconds = body_seconds
        self._under_way = 0

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request. Raises nothing but ``CancelledError``."""
        entrance = self._entrances.get(request.path.removeprefix(_PREFIX))
        if entrance is None or not request.path.startswith(_PREFIX):
            return answer(404, {"message": "not found"})
        if request.method != "POST":
            return answer(405, {"message": "method not allowed"}, {"Allow": "POST"})
        peer = request.remote or ""
        wait = self._attempts.wait_of(peer)
        if wait or self._under_way >= _AT_ONCE:
            return answer(429, {"message": "later"}, {"Retry-After": str(wait or 1)})
        self._under_way += 1
        try:
            return await self._answer(request, entrance, peer)
        except asyncio.CancelledError:
            raise
        except Exception:
            log.exception("a security event failed")
            return answer(500, {"message": "internal error"})
        finally:
            self._under_way -= 1

    async def _answer(
        self, request: web.BaseRequest, entrance: Entrance, peer: str
    ) -> web.StreamResponse:
        try:
            self._check_secret(request, entrance, peer)
            await entrance.take(await self._read(request))
        except EventRefused as refused:
            log.warning(
                "%s pushed an event that is refused: %s: %s",
                peer,
                refused.refusal.value,
                refused.description,
            )
            return answer(400, {"err": refused.refusal.value, "description": refused.description})
        except EventsUnavailable as unavailable:
            log.warning(
                "an event could not be put into force; it has to be sent again: %s", unavailable
            )
            return answer(503, {"message": "later"}, {"Retry-After": "5"})
        # RFC 8935, 2.2: "the response body MUST be empty".
        return web.Response(status=202, headers={"Cache-Control": "no-store"})

    def _check_secret(self, request: web.BaseRequest, entrance: Entrance, peer: str) -> None:
        shown = request.headers.getall("Authorization", [])
        expected = f"Bearer {entrance.secret}"
        if len(shown) != 1 or not hmac.compare_digest(
            shown[0].encode("utf-8", "surrogateescape"), expected.encode()
        ):
            self._attempts.failed(peer)
            raise EventRefused(EventRefusal.AUTHENTICATION_FAILED, "the secret is not the one")

    async def _read(self, request: web.BaseRequest) -> str:
        if request.content_type != _MEDIA_TYPE:
            raise EventRefused(EventRefusal.INVALID_REQUEST, f"the body has to be {_MEDIA_TYPE}")
        try:
            body = await read_body(request, _MAX_BODY_BYTES, self._body_seconds)
        except BodyRefused as refused:
            raise EventRefused(EventRefusal.INVALID_REQUEST, refused.message) from None
        return body.decode("latin-1")
