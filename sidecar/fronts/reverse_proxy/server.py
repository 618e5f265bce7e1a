"""The listener: aiohttp's low-level server with our limits, errors and drain."""

import asyncio
import logging
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiohttp import web
from aiohttp.web_protocol import RequestHandler
from typing_extensions import override

from sidecar.fronts.reverse_proxy.client_connection import ClientConnection
from sidecar.fronts.reverse_proxy.handler import Handler

log = logging.getLogger(__name__)

_LINGER_SECONDS = 2.0
_POLL_SECONDS = 0.05
_CLOSE_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class ListenPolicy:
    """Where to listen, and for how long a client may do nothing; times in seconds.

    ``idle_timeout`` ends a connection on which no request comes, a half-sent head included.
    ``shares_port`` lets several processes listen on one port (SO_REUSEPORT).
    """

    host: str
    port: int
    tls: ssl.SSLContext | None = None
    backlog: int = 1024
    idle_timeout: float = 75.0
    max_header_bytes: int = 16384
    max_headers: int = 128
    shares_port: bool = False


class _Server(web.Server):
    def __init__(self, handler: Handler, **options: Any) -> None:
        super().__init__(handler.handle, **options)
        self._handler = handler

    @override
    def __call__(self) -> RequestHandler:
        return ClientConnection(self._handler, self, loop=self._loop, **self._kwargs)


class ReverseProxy:
    """A running listener. ``url`` is where it is."""

    def __init__(
        self, handler: Handler, server: _Server, listener: asyncio.Server, url: str
    ) -> None:
        self._handler = handler
        self._server = server
        self._listener = listener
        self.url = url

    def dismiss(self) -> None:
        """Go on serving, and tell each client to come back on another connection."""
        self._handler.is_leaving = True

    async def drain(self, seconds: float) -> None:
        """Accept no more connections, let requests in flight end, and cut the rest at the end."""
        self.dismiss()
        self._listener.close()
        try:
            async with asyncio.timeout(seconds):
                # Not aiohttp's own shutdown: that one stops reading, and so loses uploads.
                while self._close_idle():  # noqa: ASYNC110 - aiohttp tells nobody
                    await asyncio.sleep(_POLL_SECONDS)
        except TimeoutError:
            late = len(self._server.connections)
            log.warning("%d connections are cut: they did not end within %g s", late, seconds)
        await self._server.shutdown(_CLOSE_SECONDS)

    def _close_idle(self) -> int:
        busy = self._handler.busy
        for connection in self._server.connections:
            if connection not in busy:
                connection.force_close()
        return len(busy)


@asynccontextmanager
async def listening(handler: Handler, policy: ListenPolicy) -> AsyncIterator[ReverseProxy]:
    """Listen until the block ends; call ``drain`` before to end in good order.

    Raises:
        OSError: the address cannot be listened on.
    """
    server = _Server(
        handler,
        access_log=None,
        # A client that goes ends what is done for it, upstream included.
        handler_cancellation=True,
        keepalive_timeout=policy.idle_timeout,
        max_line_size=policy.max_header_bytes,
        max_field_size=policy.max_header_bytes,
        max_headers=policy.max_headers,
        lingering_time=_LINGER_SECONDS,
        auto_decompress=False,
    )
    listener = await asyncio.get_running_loop().create_server(
        server,
        policy.host,
        policy.port,
        ssl=policy.tls,
        backlog=policy.backlog,
        reuse_port=policy.shares_port or None,
    )
    try:
        yield ReverseProxy(handler, server, listener, _url(listener.sockets[0], policy))
    finally:
        listener.close()
        await server.shutdown(_CLOSE_SECONDS)


def _url(listening_socket: socket.socket, policy: ListenPolicy) -> str:
    host, port = listening_socket.getsockname()[:2]
    scheme = "http" if policy.tls is None else "https"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
