"""Event streams and WebSockets as their clients see them: whether they go on, and how they end."""

import asyncio
import ssl
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import StrEnum
from urllib.parse import urlsplit

from typing_extensions import override

EVENTS = "/api/sessions/1/stream"
WEBSOCKET = "/api/demo/ws"
WEBSOCKET_ROUTE = {"name": "ws", "path": WEBSOCKET, "websocket": True}
_HANDSHAKE = (
    "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)
_CLOSE = 0x88
_KEPT_OCTETS = 256
_AT_ONCE = 20


class End(StrEnum):
    """How a stream ended: by its server's word, or without one."""

    OPEN = "open"
    GOING_AWAY = "going away"  # RFC 6455, 7.4.1: 1001
    CLOSED = "closed"  # with another code
    COMPLETE = "complete"  # with a last chunk
    BROKEN = "broken off"


class OpenStream(asyncio.Protocol):
    """One stream. ``head`` is the answer's; ``pieces`` counts what came after it."""

    def __init__(self, path: str, token: str) -> None:
        upgrade = _HANDSHAKE if path == WEBSOCKET else ""
        self._request = (
            f"GET {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n{upgrade}\r\n"
        ).encode()
        loop = asyncio.get_running_loop()
        self.is_websocket = path == WEBSOCKET
        self.head: asyncio.Future[bytes] = loop.create_future()
        self.ended: asyncio.Future[float] = loop.create_future()
        self.pieces = 0
        self.port = 0
        self._last = b""
        self._transport: asyncio.Transport

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self.port = transport.get_extra_info("sockname")[1]
        transport.write(self._request)

    @override
    def data_received(self, data: bytes) -> None:
        self._last = (
            self._last + data if not self.head.done() else self._last[-_KEPT_OCTETS:] + data
        )
        if self.head.done():
            self.pieces += 1
        elif b"\r\n\r\n" in self._last:
            head, _, self._last = self._last.partition(b"\r\n\r\n")
            self.head.set_result(head)
        if self._close_code() is not None:
            self._transport.close()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        if not self.head.done():
            self.head.set_result(b"")
        self.ended.set_result(asyncio.get_running_loop().time())

    @property
    def has_begun(self) -> bool:
        wanted = b"HTTP/1.1 101 " if self.is_websocket else b"HTTP/1.1 200 "
        return self.head.done() and self.head.result().startswith(wanted)

    @property
    def end(self) -> End:
        if not self.ended.done():
            return End.OPEN
        if not self.is_websocket:
            return End.COMPLETE if self._last.endswith(b"0\r\n\r\n") else End.BROKEN
        code = self._close_code()
        if code is None:
            return End.BROKEN
        return End.GOING_AWAY if code == 1001 else End.CLOSED

    def abort(self) -> None:
        self._transport.abort()

    def _close_code(self) -> int | None:
        """Return the code of the close frame that stands at the end of what came."""
        last = self._last
        for at in range(len(last) - 3) if self.is_websocket and self.head.done() else ():
            if last[at] == _CLOSE and at + 2 + last[at + 1] == len(last):
                return int(struct.unpack_from("!H", last, at + 2)[0])
        return None


async def open_stream(
    url: str, path: str, token: str, tls: ssl.SSLContext | None = None
) -> OpenStream:
    """Open one, and wait for its head. Raises OSError where there is no connection."""
    where, loop = urlsplit(url), asyncio.get_running_loop()
    assert where.hostname is not None
    assert where.port is not None
    _, stream = await loop.create_connection(
        lambda: OpenStream(path, token),
        where.hostname,
        where.port,
        ssl=tls,
        server_hostname=None if tls is None else "localhost",
    )
    await stream.head
    return stream


@asynccontextmanager
async def open_streams(
    url: str, token: str, number: int, tls: ssl.SSLContext | None = None
) -> AsyncIterator[list[OpenStream]]:
    """Hold so many streams, every second one a WebSocket, until the block ends."""
    streams: list[OpenStream] = []
    coming = iter(range(number))

    async def open_some() -> None:
        for each in coming:
            path = WEBSOCKET if each % 2 else EVENTS
            streams.append(await open_stream(url, path, token, tls))

    async with asyncio.TaskGroup() as tasks:
        for _ in range(_AT_ONCE):
            tasks.create_task(open_some())
    try:
        assert all(stream.has_begun for stream in streams)
        yield streams
    finally:
        for stream in streams:
            stream.abort()
