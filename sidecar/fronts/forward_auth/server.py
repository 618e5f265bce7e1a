"""The forward-auth door's listener."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from aiohttp.web_protocol import RequestHandler
from typing_extensions import override

from sidecar.core.decision import Deny, DenyReason
from sidecar.fronts.forward_auth.handler import Handler
from sidecar.fronts.listener import Bound, Listener, ListenPolicy, accepting

log = logging.getLogger(__name__)


class _Connection(RequestHandler):
    """aiohttp's connection, whose own error pages are replaced by our refusals."""

    __slots__ = ("_handler",)

    def __init__(self, handler: Handler, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._handler = handler

    @override
    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        if status >= 500:
            log.error("a question failed", exc_info=exc)
            return self._handler.refuse_unread(
                request, Deny(DenyReason.INTERNAL_ERROR, "see the log")
            )
        # The name of the exception alone: its text quotes what the client sent.
        deny = Deny(DenyReason.MALFORMED_REQUEST, type(exc).__name__)
        return self._handler.refuse_unread(request, deny)

    @property
    def is_idle(self) -> bool:
        """Say whether aiohttp waits for a request, and none has come."""
        return not self._messages and self._waiter is not None and not self._waiter.done()


class _Server(web.Server):
    def __init__(self, handler: Handler, **options: Any) -> None:
        super().__init__(handler.handle, **options)
        self._handler = handler

    @override
    def __call__(self) -> RequestHandler:
        return _Connection(self._handler, self, loop=self._loop, **self._kwargs)


class ForwardAuth(Listener):
    """The running forward-auth door."""

    def __init__(self, handler: Handler, bound: Bound) -> None:
        super().__init__(bound)
        self._handler = handler

    @override
    def dismiss(self) -> None:
        self._handler.is_leaving = True

    @override
    def is_idle(self, connection: RequestHandler) -> bool:
        return not isinstance(connection, _Connection) or connection.is_idle


@asynccontextmanager
async def listening(handler: Handler, policy: ListenPolicy) -> AsyncIterator[ForwardAuth]:
    """Listen until the block ends; call ``drain`` before to end in good order.

    Raises:
        OSError: the address cannot be listened on.
    """
    server = _Server(handler, **policy.server_options())
    async with accepting(server, policy) as bound:
        yield ForwardAuth(handler, bound)
