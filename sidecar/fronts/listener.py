"""A listener of aiohttp's low-level server: our limits, and an end in good order."""

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from aiohttp import web
from aiohttp.web_protocol import RequestHandler
from typing_extensions import override

from sidecar.core.decision import Deny, DenyReason

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


class Answering(Protocol):
    """What answers a listener's requests; each of its connections' last, if it ``is_leaving``."""

    is_leaving: bool

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        ...

    def refuse_unread(self, request: web.BaseRequest, deny: Deny) -> web.StreamResponse:
        """Answer what could not be read as a request; the connection ends with it."""
        ...


class Connection(RequestHandler):
    """aiohttp's connection, whose own error pages are replaced by our refusals."""

    __slots__ = ("_answering",)

    def __init__(self, answering: Answering, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._answering = answering

    @property
    def is_idle(self) -> bool:
        """Say whether no request has come that is not yet answered."""
        return not self._messages and self._waiter is not None and not self._waiter.done()

    @override
    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        if status >= 500:
            log.error("a request failed", exc_info=exc)
            deny = Deny(DenyReason.INTERNAL_ERROR, "see the log")
        else:
            # The name of the exception alone: its text quotes what the client sent.
            deny = Deny(DenyReason.MALFORMED_REQUEST, type(exc).__name__)
        return self._answering.refuse_unread(request, deny)


class Server(web.Server):
    """aiohttp's server, with connections that ``connect`` makes for ``answering``."""

    def __init__(
        self, answering: Answering, connect: Callable[..., Connection], **options: Any
    ) -> None:
        super().__init__(answering.handle, **options)
        self.answering = answering
        self._connect = connect

    @override
    def __call__(self) -> RequestHandler:
        return self._connect(self, loop=self._loop, **self._kwargs)


class Listener:
    """A running listener. ``url`` is where it is, ``is_accepting`` until new ones go elsewhere."""

    def __init__(
        self, server: Server, listener: asyncio.Server, tls: ssl.SSLContext | None, url: str
    ) -> None:
        self._server = server
        self._listener = listener
        self._tls = tls
        self.url = url
        self.is_accepting = True

    def dismiss(self) -> None:
        """Go on serving, and tell each client to come back on another connection."""
        self._server.answering.is_leaving = True

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
            if isinstance(connection, Connection) and not connection.is_idle:
                busy += 1
            else:
                connection.force_close()
        return busy


def _all_of(queue: socket.socket) -> Iterator[socket.socket]:
    with queue.dup() as listener, contextlib.suppress(BlockingIOError):
        while True:
            connection, _ = listener.accept()
            connection.setblocking(False)  # noqa: FBT003
            yield connection


@asynccontextmanager
async def accepting(
    answering: Answering, connect: Callable[..., Connection], policy: ListenPolicy
) -> AsyncIterator[Listener]:
    """Listen until the block ends; call ``drain`` before to end in good order.

    ``connect`` makes each connection, of the arguments of aiohttp's.

    Raises:
        OSError: the address cannot be listened on.
    """
    server = Server(answering, connect, **policy.server_options())
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
        yield Listener(server, listener, policy.tls, _url(listener.sockets[0], policy))
    finally:
        listener.close()
        await server.shutdown(_CLOSE_SECONDS)


def _url(listening_socket: socket.socket, policy: ListenPolicy) -> str:
    host, port = listening_socket.getsockname()[:2]
    scheme = "http" if policy.tls is None else "https"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
