"""Writing to the client: our head, then the body as it comes, with back-pressure.

``Downstream`` is what the handler gives back to aiohttp: a response that has been written already.
"""

import asyncio
import socket
import struct
from collections.abc import Callable
from contextlib import suppress

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from typing_extensions import override

from sidecar.fronts.reverse_proxy.framing import Framing
from sidecar.fronts.reverse_proxy.response_head import Field, phrase_of, write_head

_RESET = struct.pack("ii", 1, 0)
_MOST_WAITING = 24 * 1024
_MOST_WAITING_FOR_TLS = 16 * 1024  # and once more below it, encrypted


class Downstream(web.StreamResponse):
    """One response to one request, written straight to the connection.

    How slowly a client may read it is its connection's affair: see ``reading``. ``farewell``, where
    the protocol has one, tells the client that we end, and returns for how many seconds to wait.
    """

    def __init__(self, request: web.BaseRequest) -> None:
        super().__init__()
        self._asked = request
        self._framing = Framing(request.method, request.version, stays=bool(request.keep_alive))
        self._left: int | None = None
        self.sent_status = 0
        self._is_whole = False
        self.farewell: Callable[[], float] | None = None

    @property
    @override
    def keep_alive(self) -> bool:
        """Say whether the connection can carry another request after this response."""
        return self._framing.stays

    @property
    def is_begun(self) -> bool:
        """Say whether the head has been sent: then only an abort can take it back."""
        return self.sent_status != 0

    @property
    def is_amid(self) -> bool:
        """Say whether there is more to come of an answer that has begun."""
        return self.is_begun and not self._is_whole

    @override
    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        return None  # the head is sent by `begin`

    @override
    async def write_eof(self, data: bytes = b"") -> None:
        """Wait until the client has taken all of it.

        Else one that sends and never reads has us keep every answer, and a connection that is to
        be closed stays for ever: closing waits for what is still to be written.
        """
        transport = self._asked.transport
        if transport is None or not transport.get_write_buffer_size():
            return
        transport.set_write_buffer_limits(high=0)
        with suppress(ConnectionError):  # then it has gone, or was too slow
            await self.drain()
            keep_little(transport)

    def close_after(self) -> None:
        """End the connection after this response; call it before ``begin``."""
        self._framing.stays = False

    def begin(self, status: int, reason: bytes, fields: list[Field], first: bytes = b"") -> None:
        """Send the head and the body's first octets in one write.

        A body without ``Content-Length`` in ``fields`` is sent in chunks, or up to the end of the
        connection to a client of HTTP/1.0.

        Raises:
            SplitResponse: the head cannot be written safely; nothing was sent.
            ConnectionResetError: the client has gone.
        """
        length = _length_of(fields)
        head = self._framing.begin(status, reason, list(fields), length)
        self._left = length if self._framing.has_body else None
        self.sent_status = status
        self._write(head, *self._framed(first))

    def switch(self, reason: bytes, fields: list[Field]) -> None:
        """Send the head of a 101; what follows belongs to the other protocol.

        Raises:
            SplitResponse, ConnectionResetError: as ``begin``.
        """
        upgrade = [(b"Connection", b"Upgrade"), (b"Upgrade", b"websocket")]
        # RFC 9110, 8.6: no length in a 1xx.
        kept = [field for field in fields if field[0].lower() != b"content-length"]
        head = write_head(101, reason, [*kept, *upgrade])
        self._framing.stays = False
        self.sent_status = 101
        self._write(head)

    async def send(self, data: bytes) -> None:
        """Send more of the body, waiting while the client does not read.

        Raises:
            ConnectionResetError: it has gone.
        """
        self._write(*self._framed(data))
        await self.drain()

    @override
    async def drain(self) -> None:
        if self._asked.protocol.writing_paused:
            await self._asked.writer.drain()

    async def end(self) -> None:
        """End the body.

        Raises:
            ShortBody: fewer octets were sent than ``Content-Length`` said.
        """
        if self._left:
            raise ShortBody
        if self._framing.is_chunked:
            self._write(b"0\r\n\r\n")
        self._is_whole = True
        await self.drain()

    def answer(self, status: int, fields: tuple[Field, ...], body: bytes) -> None:
        """Send a whole response of ours."""
        sized = [*fields, (b"Content-Length", b"%d" % len(body))]
        self.begin(status, phrase_of(status), sized, b"" if self._asked.method == "HEAD" else body)
        self._is_whole = True

    def abort(self) -> None:
        """Break the connection so that no client takes the part for the whole."""
        self._framing.stays = False
        if self._asked.transport is not None:
            reset(self._asked.transport)

    def _framed(self, data: bytes) -> tuple[bytes, ...]:
        if not data:
            return ()
        if self._framing.is_chunked:
            return (b"%x\r\n" % len(data), data, b"\r\n")
        if self._left is not None:
            if len(data) > self._left:
                raise LongBody
            self._left -= len(data)
        return (data,)

    def _write(self, *parts: bytes) -> None:
        transport = self._asked.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("the client has gone")
        if parts:
            transport.write(b"".join(parts))


def keep_little(transport: asyncio.Transport) -> None:
    """Pause writing when little waits for the client: event loops keep up to half a megabyte."""
    is_tls = transport.get_extra_info("sslcontext") is not None
    transport.set_write_buffer_limits(high=_MOST_WAITING_FOR_TLS if is_tls else _MOST_WAITING)


def reset(transport: asyncio.Transport) -> None:
    """Break a connection at once, so that no client takes the part for the whole.

    By RST and not FIN: to a body that ends with the connection (HTTP/1.0) a FIN is a good end.
    """
    connection = transport.get_extra_info("socket")
    if connection is not None:
        with suppress(OSError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    transport.abort()


class ShortBody(Exception):
    """A body ended before its length was reached."""


class LongBody(Exception):
    """A body went on past its length."""


def _length_of(fields: list[Field]) -> int | None:
    return next((int(value) for name, value in fields if name.lower() == b"content-length"), None)
