"""A listener of aiohttp's low-level server: our limits, and an end in good order."""

import asyncio
import logging
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from aiohttp import web
from aiohttp.http import HttpVersion10, HttpVersion11
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader
from aiohttp.web_protocol import RequestHandler, _ErrInfo
from typing_extensions import override

from sidecar.core.connections import ConnectionObserver
from sidecar.core.decision import Deny, DenyReason
from sidecar.fronts.acceptor import Acceptor, Greeting, listening_queues
from sidecar.fronts.admission import Admission, Place, Room
from sidecar.fronts.head_watch import HeadWatch, SlowHead, begins_another

log = logging.getLogger(__name__)

_LINGER_SECONDS = 2.0
_POLL_SECONDS = 0.05
_CLOSE_SECONDS = 0.05
_FIRST_REQUEST_SECONDS = 0.25
_VERSIONS = (HttpVersion10, HttpVersion11)


@dataclass(frozen=True, slots=True)
class ListenPolicy:
    """Where to listen, and for how long a client may do nothing; times in seconds.

    ``idle_timeout`` ends a connection on which no request comes; ``head_timeout`` one on which a
    head has begun to come, or a TLS handshake, and does not end. ``room`` is for how many there is.
    ``listener`` is a bound socket to listen on instead of ``host`` and ``port``; it is closed with
    the front, so give a duplicate where the queue of connections has to outlive it.
    """

    host: str
    port: int
    tls: ssl.SSLContext | None = None
    backlog: int = 1024
    idle_timeout: float = 75.0
    head_timeout: float = 10.0
    room: Room = field(default_factory=Room)
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
            "head_timeout": self.head_timeout,
            "max_line_size": self.max_header_bytes,
            "max_field_size": self.max_header_bytes,
            "max_headers": self.max_headers,
            "lingering_time": _LINGER_SECONDS,
            "auto_decompress": False,
        }


class Answering(Protocol):
    """What answers a listener's requests; each of its connections' last, if it ``is_leaving``."""

    is_leaving: bool

    @property
    def observer(self) -> ConnectionObserver:
        """Who hears of the connections."""
        ...

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        ...

    def refuse_unread(self, request: web.BaseRequest, deny: Deny) -> web.StreamResponse:
        """Answer what could not be read as a request; the connection ends with it."""
        ...


class Connection(RequestHandler):
    """aiohttp's connection, whose own error pages are replaced by our refusals."""

    __slots__ = ("_answering", "_head_watch", "_place", "_taken")

    def __init__(
        self,
        answering: Answering,
        *arguments: Any,
        place: Place,
        head_timeout: float,
        **options: Any,
    ) -> None:
        super().__init__(*arguments, **options)
        self._answering = answering
        self._place = place
        self._head_watch = HeadWatch(head_timeout)
        # The body of the request that a task is at: aiohttp's own word on which that is comes a
        # turn of the loop later, and what the client does in between would seem to be about none.
        self._taken: StreamReader | None = None

    @override
    def connection_lost(self, exc: BaseException | None) -> None:
        self._head_watch.end()
        self._place.leave()
        super().connection_lost(exc)

    @override
    def data_received(self, data: bytes) -> None:
        before = self._request_count
        super().data_received(data)
        self.watch_head(data, self._messages if self._request_count != before else ())

    def watch_head(self, data: bytes, messages: Sequence[Any]) -> None:
        """Hear what came and which messages began in it: a head that has not ended has its time."""
        if messages:
            self._head_watch.end()
        if begins_another(data, *messages[-1]) if messages else not self.is_within_message:
            self._head_watch.begin(self._head_is_late)

    @property
    def pause(self) -> object | None:
        """Return None while it is read, else another value after each request that was taken."""
        return (self._request_count, len(self._messages)) if self._buffer_paused else None

    @property
    def is_within_message(self) -> bool:
        """Say whether what comes next belongs to a message whose head has come."""
        if self._payload_parser is not None or self._upgraded:
            return True
        if self._messages:
            return not self._messages[-1][1].is_eof()
        return self._taken is not None and not self._taken.is_eof()

    def _head_is_late(self) -> None:
        if not self.is_idle:
            # An answer is under way: what comes behind it has time until that has gone.
            self._head_watch.begin(self._head_is_late)
            return
        late = SlowHead("the head took too long")
        self._messages.append((_ErrInfo(408, late, str(late)), EMPTY_PAYLOAD))
        self.go_on()

    def go_on(self) -> None:
        """Answer what is at the head of the queue."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    @override
    def _handle_request(
        self, request: web.BaseRequest, *arguments: Any
    ) -> Coroutine[Any, Any, tuple[web.StreamResponse, bool]]:
        self._taken = request.content
        return super()._handle_request(request, *arguments)

    @override
    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        if request.version not in _VERSIONS:
            # aiohttp would confirm that it speaks HTTP/2.0, or 0.9 (RFC 9112, 2.3).
            request._cache["version"] = HttpVersion11  # noqa: SLF001
        finished = await super().finish_response(request, resp, start_time)
        if request.content.is_eof():
            self._taken = None
        return finished

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
        elif isinstance(exc, SlowHead):
            deny = Deny(DenyReason.TOO_SLOW, str(exc))
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

    def protocol_of(self, place: Place) -> Connection:
        """Return what a connection with this place speaks."""
        return self._connect(self, place=place, loop=self._loop, **self._kwargs)


class Listener:
    """A running listener. ``url`` is where it is, ``is_accepting`` until new ones go elsewhere."""

    def __init__(self, server: Server, acceptor: Acceptor, url: str) -> None:
        self._server = server
        self._acceptor = acceptor
        self.url = url
        self.is_accepting = True

    def dismiss(self) -> None:
        """Go on serving, and tell each client to come back on another connection."""
        self._server.answering.is_leaving = True

    async def stop_accepting(self) -> None:
        """Accept no more connections, and go on serving those that there are."""
        stopped = self._acceptor.stop()
        self.is_accepting = False
        await stopped

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

    def _close_idle(self) -> int:
        busy = 0
        for connection in self._server.connections:
            if isinstance(connection, Connection) and not connection.is_idle:
                busy += 1
            else:
                connection.force_close()
        return busy


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
    queues = await _queues_of(policy)
    url = _url(queues[0], policy)
    greeting = Greeting(server.protocol_of, policy.tls, policy.head_timeout)
    acceptor = Acceptor(queues, greeting, Admission(policy.room, answering.observer))
    acceptor.start()
    try:
        yield Listener(server, acceptor, url)
    finally:
        await acceptor.close()
        await server.shutdown(_CLOSE_SECONDS)


async def _queues_of(policy: ListenPolicy) -> list[socket.socket]:
    if policy.listener is None:
        return await listening_queues(policy.host, policy.port, policy.backlog)
    policy.listener.setblocking(False)  # noqa: FBT003
    policy.listener.listen(policy.backlog)
    return [policy.listener]


def _url(listening_socket: socket.socket, policy: ListenPolicy) -> str:
    host, port = listening_socket.getsockname()[:2]
    scheme = "http" if policy.tls is None else "https"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
