"""The listener for those who push security events. Nothing else is there."""

import ssl
from collections.abc import Awaitable, Callable

from aiohttp import web
from typing_extensions import override

from sidecar.admin.answers import answer
from sidecar.admin.small_listener import SmallListener

Receive = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class EventListener(SmallListener):
    """``receive`` answers."""

    def __init__(self, host: str, port: int, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(host, port, tls)
        self.receive: Receive | None = None  # a reload replaces it

    @override
    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        if self.receive is None:
            return answer(503, {"message": "later"}, {"Retry-After": "5"})
        return await self.receive(request)
