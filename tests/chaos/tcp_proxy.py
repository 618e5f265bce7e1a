"""A TCP proxy in front of a server that does to connections what networks do to them."""

import asyncio
import socket
import struct
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Self

_LOOPBACK = "127.0.0.1"
# Small, so that a stall reaches the sender soon and not after megabytes.
_BUFFER_BYTES = 64 * 1024


@dataclass(eq=False)
class _Link:
    """One connection through the proxy. What is lost stays lost: no RST, no FIN, no octet."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter | None = None
    is_lost: bool = False

    def abort(self) -> None:
        for writer in (self.client, self.server):
            if writer is None:
                continue
            connection = writer.get_extra_info("socket")
            if connection is not None:
                with suppress(OSError):  # so that the end is an RST and not a FIN
                    linger = struct.pack("ii", 1, 0)
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            writer.transport.abort()


class TcpProxy:
    """Listens on loopback between ``async with`` and its end, and carries octets to ``port``.

    ``delay`` holds every piece back for so many seconds, each way. ``pieces_up`` counts the pieces
    that came from clients: a client's one write is one piece here.
    """

    def __init__(self, port: int) -> None:
        self._server_port = port
        self._flows = asyncio.Event()
        self._flows.set()
        self._is_hole = False
        self._links: set[_Link] = set()
        self._carrying: set[asyncio.Task[None]] = set()
        self._listener: asyncio.Server | None = None
        self.port = 0
        self.delay = 0.0
        self.pieces_up = 0

    async def __aenter__(self) -> Self:
        self._listener = await asyncio.start_server(self._accept, _LOOPBACK, 0)
        self.port = self._listener.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._listener is not None
        self._listener.close()
        self.cut()
        for task in self._carrying:
            task.cancel()
        await asyncio.gather(*self._carrying, return_exceptions=True)

    def stall(self) -> None:
        """Read no more and write no more, both ways: the senders' buffers fill."""
        self._flows.clear()

    def black_hole(self) -> None:
        """Swallow everything, also of new connections; no end ever hears of it."""
        self._is_hole = True
        for link in self._links:
            link.is_lost = True

    def heal(self) -> None:
        """Flow again. What was stalled comes now; connections in the black hole stay dead."""
        self._flows.set()
        self._is_hole = False
        self.delay = 0.0

    def cut(self) -> None:
        """Break every connection by an RST to both ends."""
        for link in list(self._links):
            link.abort()

    def half_close(self) -> None:
        """End the server's direction of every connection by a FIN; the client's stays open."""
        for link in self._links:
            link.client.write_eof()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._carrying.add(task)
        link = _Link(writer, is_lost=self._is_hole)
        self._links.add(link)
        try:
            await self._carry(reader, link)
        except OSError:
            link.abort()
        finally:
            self._links.discard(link)
            self._carrying.discard(task)
            writer.close()
            if link.server is not None:
                link.server.close()

    async def _carry(self, reader: asyncio.StreamReader, link: _Link) -> None:
        answers, link.server = await self._connect()
        ups = self._pump(reader, link.server, link, 1)
        downs = self._pump(answers, link.client, link, 0)
        await asyncio.gather(ups, downs)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        connection = socket.socket()
        try:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
            connection.setblocking(False)  # noqa: FBT003
            loop = asyncio.get_running_loop()
            await loop.sock_connect(connection, (_LOOPBACK, self._server_port))
            return await asyncio.open_connection(sock=connection, limit=_BUFFER_BYTES)
        except BaseException:
            connection.close()
            raise

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, link: _Link, up: int
    ) -> None:
        while True:
            await self._flows.wait()
            data = await reader.read(_BUFFER_BYTES)
            self.pieces_up += up
            await self._flows.wait()
            if self.delay:
                await asyncio.sleep(self.delay)
            if link.is_lost:
                if not data:
                    await asyncio.Event().wait()  # an end that nobody hears of
                continue
            if not data:
                with suppress(OSError):
                    writer.write_eof()
                return
            if not writer.is_closing():
                writer.write(data)
                await writer.drain()
