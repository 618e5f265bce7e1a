"""A listener of aiohttp's low-level server: our limits, and an end in good order."""

import asyncio
import contextlib
import logging
import socket
import ssl
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

log = logging.getLogger(__name__)

_LINGER_SECONDS = 2.0
_POLL_SECONDS = 0.05
_CLOSE_SECONDS = 0.05
_FIRST_REQUEST_SECONDS = 0.25
_HANDSHAKE_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class ListenPolicy:
    """Where to listen, and for how long a client may do nothing; times in seconds.

    ``idle_timeout`` ends a connection on which no request comes, a half-sent head included.
    ``listener`` is a bound socket to listen on instead of ``host`` and ``port``; it is closed with
    the front, so give a duplicate where the queue of connections has to outlive it.
    """

    host: str
    port: int
    tls: ssl.SSLContext | None = None
    backlog: int = 1024
    idle_timeout: float = 75.0
    max_header_bytes: int = 16384
    max_headers: int = 128
    listener: socket.socket | None = None

    def server_options(self) -> dict[str, Any]:
        """Return what aiohttp's server is told."""
        return {
            "access_log": None,
            # A client that goes ends what is done for it, upstream included.
            "handler_cancellation": True,
            "keepalive_timeout": self.idle_timeout,
            "max_line_size": self.max_header_bytes,
            "max_field_size": self.max_header_bytes,
            "max_headers": self.max_headers,
            "lingering_time": _LINGER_SECONDS,
            "auto_decompress": False,
        }


@dataclass(frozen=True, slots=True)
class Bound:
    """A server, and the sockets that it accepts on."""

    server: web.Server
    listener: asyncio.Server
    tls: ssl.SSLContext | None
    url: str


class Listener(ABC):
    """A running listener. ``url`` is where it is, ``is_accepting`` until new ones go elsewhere."""

    def __init__(self, bound: Bound) -> None:
        self._server = bound.server
        self._listener = bound.listener
        self._tls = bound.tls
        self.url = bound.url
        self.is_accepting = True

    @abstractmethod
    def dismiss(self) -> None:
        """Go on serving, and tell each client to come back on another connection."""

    @abstractmethod
    def is_idle(self, connection: RequestHandler) -> bool:
        """Say whether nothing has come on a connection that is not yet answered."""

    async def stop_accepting(self) -> None:
        """Accept no more connections, and go on serving those that there are."""
        loop = asyncio.get_running_loop()
        for each in self._listener.sockets:
            loop.remove_reader(each.fileno())
        # asyncio drops a connection that it accepted in the turn in which its server is closed.
        await asyncio.sleep(0)
        # Whoever still waits in the queue is taken: closing it would reset them.
        waiting = [connection for each in self._listener.sockets for connection in _all_of(each)]
        self._listener.close()
        self.is_accepting = False
        await asyncio.gather(*map(self._take, waiting))

    async def drain(self, seconds: float) -> None:
        """Accept no more connections, let requests in flight end, and cut the rest at the end."""
        self.dismiss()
        await self.stop_accepting()
        try:
            async with asyncio.timeout(seconds):
                if self._server.connections:
                    # On those that were accepted last, the first request may still be on its way.
                    await asyncio.sleep(_FIRST_REQUEST_SECONDS)
                # Not aiohttp's own shutdown: that one stops reading, and so loses uploads.
                while self._close_idle():  # noqa: ASYNC110 - aiohttp tells nobody
                    await asyncio.sleep(_POLL_SECONDS)
        except TimeoutError:
            late = len(self._server.connections)
            log.warning("%d connections are cut: they did not end within %g s", late, seconds)
        await self._server.shutdown(_CLOSE_SECONDS)

    async def _take(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError):  # TLS that fails, or a client that has gone
            await asyncio.get_running_loop().connect_accepted_socket(
                self._server,
                connection,
                ssl=self._tls,
                ssl_handshake_timeout=None if self._tls is None else _HANDSHAKE_SECONDS,
            )

    def _close_idle(self) -> int:
        busy = 0
        for connection in self._server.connections:
            if self.is_idle(connection):
                connection.force_close()
            else:
                busy += 1
        return busy


def _all_of(queue: socket.socket) -> Iterator[socket.socket]:
    with queue.dup() as listener, contextlib.suppress(BlockingIOError):
        while True:
            connection, _ = listener.accept()
            connection.setblocking(False)  # noqa: FBT003
            yield connection


@asynccontextmanager
async def accepting(server: web.Server, policy: ListenPolicy) -> AsyncIterator[Bound]:
    """Let ``server`` accept until the block ends; what it still serves then is cut.

    Raises:
        OSError: the address cannot be listened on.
    """
    where: dict[str, Any] = {"host": policy.host, "port": policy.port}
    if policy.listener is not None:
        where = {"sock": policy.listener}
    listener = await asyncio.get_running_loop().create_server(
        server,
        **where,
        ssl=policy.tls,
        backlog=policy.backlog,
    )
    try:
        yield Bound(server, listener, policy.tls, _url(listener.sockets[0], policy))
    finally:
        listener.close()
        await server.shutdown(_CLOSE_SECONDS)


def _url(listening_socket: socket.socket, policy: ListenPolicy) -> str:
    host, port = listening_socket.getsockname()[:2]
    scheme = "http" if policy.tls is None else "https"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
