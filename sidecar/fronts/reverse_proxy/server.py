"""The reverse proxy's listener: each connection is one that answers at once where it can."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from aiohttp.web_protocol import RequestHandler
from typing_extensions import override

from sidecar.fronts.listener import Bound, Listener, ListenPolicy, accepting
from sidecar.fronts.reverse_proxy.client_connection import ClientConnection
from sidecar.fronts.reverse_proxy.handler import Handler


class _Server(web.Server):
    def __init__(self, handler: Handler, **options: Any) -> None:
        super().__init__(handler.handle, **options)
        self._handler = handler

    @override
    def __call__(self) -> RequestHandler:
        return ClientConnection(self._handler, self, loop=self._loop, **self._kwargs)


class ReverseProxy(Listener):
    """The running reverse proxy."""

    def __init__(self, handler: Handler, bound: Bound) -> None:
        super().__init__(bound)
        self._handler = handler

    @override
    def dismiss(self) -> None:
        self._handler.is_leaving = True

    @override
    def is_idle(self, connection: RequestHandler) -> bool:
        return not isinstance(connection, ClientConnection) or connection.is_idle


@asynccontextmanager
async def listening(handler: Handler, policy: ListenPolicy) -> AsyncIterator[ReverseProxy]:
    """Listen until the block ends; call ``drain`` before to end in good order.

    Raises:
        OSError: the address cannot be listened on.
    """
    server = _Server(handler, **policy.server_options())
    async with accepting(server, policy) as bound:
        yield ReverseProxy(handler, bound)
