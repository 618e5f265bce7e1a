"""A WebSocket through the sidecar: octets both ways with back-pressure, until an end or a cut.

``set_parser`` is how aiohttp's own WebSocket classes take over a connection; here it is given
something that parses nothing.
"""

import asyncio
from contextlib import suppress
from typing import Any

from aiohttp import web
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http import StreamWriter
from aiohttp.streams import StreamReader

from sidecar.fronts.reverse_proxy.upstream import Answer, UpstreamFailed
from sidecar.fronts.reverse_proxy.websocket import (
    GOING_AWAY,
    POLICY_VIOLATION,
    FrameEnds,
    close_frame,
)

_BUFFER_BYTES = 64 * 1024
# RFC 6455, 7.1.1: the client answers a close frame and waits for us to end the connection. Ending
# it before its octets under way have come would reset it, and lose the close frame with it.
_LINGER_SECONDS = 1.0


class Tunnel:
    """One upgraded connection, between the client and upstream.

    ``idle_seconds`` bounds how long upstream may leave unread what is written to it. How long the
    client may is its connection's affair: see ``reading``.
    """

    def __init__(self, request: web.BaseRequest, answer: Answer, idle_seconds: float) -> None:
        self._client = _End(request.protocol)
        self._upstream = answer
        self._idle_seconds = idle_seconds
        self._ends = FrameEnds()
        self._is_cut = False
        # Upstream may be silent for hours: pings are the endpoints' own affair.
        answer.carriage.be_patient()
        request.protocol.set_parser(self._client)  # type: ignore[arg-type]

    async def run(self) -> None:
        """Carry octets until either end goes, or ``cut``."""
        async with asyncio.TaskGroup() as tasks:
            pumps = {
                tasks.create_task(self._pump_up()),
                tasks.create_task(self._pump_down()),
            }
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            for pump in pumps:
                pump.cancel()
        if self._is_cut:
            await self._linger()
        elif self._client.is_stuck:
            self._client.abort()

    def cut(self, reason: str) -> None:
        """End both sides at once: upstream by an abort, the client by a close frame with 1008.

        Where a frame is half sent, or the client does not read, there is no place for a close
        frame: then its connection is aborted too.
        """
        self._close(POLICY_VIOLATION, reason)

    def bid_farewell(self) -> float:
        """End both sides as ``cut`` does, because we end ourselves: with 1001.

        Returns for how many seconds the client's answer to that is worth waiting for.
        """
        self._close(GOING_AWAY, "the server ends; connect again")
        return _LINGER_SECONDS

    def _close(self, code: int, reason: str) -> None:
        self._is_cut = True
        self._upstream.close()
        transport = self._client.transport
        if transport is None:
            return
        if not self._ends.is_between or transport.get_write_buffer_size():
            transport.abort()
        elif not self._ends.closing:
            transport.write(close_frame(code, reason))

    async def _pump_up(self) -> None:
        with suppress(OSError, UpstreamFailed):
            while data := await self._client.reader.readany():
                async with asyncio.timeout(self._idle_seconds):
                    await self._upstream.write(data)

    async def _pump_down(self) -> None:
        with suppress(OSError, UpstreamFailed):
            while data := await self._upstream.more():
                if self._is_cut:
                    return
                self._ends.feed(data)
                await self._client.write(data)

    async def _linger(self) -> None:
        with suppress(OSError):
            async with asyncio.timeout(_LINGER_SECONDS):
                answered = FrameEnds()
                while data := await self._client.reader.readany():
                    answered.feed(data)
                    if answered.closing and answered.is_between:
                        return


class _End:
    """The client: what came from it, and how to write to it. Takes a payload parser's place."""

    def __init__(self, protocol: Any) -> None:
        loop = asyncio.get_running_loop()
        self._protocol: BaseProtocol = protocol
        self._writer = StreamWriter(protocol, loop)
        self.reader = StreamReader(protocol, _BUFFER_BYTES, loop=loop)

    @property
    def is_stuck(self) -> bool:
        """Say whether there is something to write that the other side does not take."""
        return self.transport is not None and self._protocol.writing_paused

    @property
    def transport(self) -> asyncio.Transport | None:
        return self._protocol.transport

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        self.reader.feed_data(data)
        return False, b""

    def feed_eof(self) -> None:
        self.reader.feed_eof()

    async def write(self, data: bytes) -> None:
        transport = self.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError
        transport.write(data)
        if self._protocol.writing_paused:
            await self._writer.drain()

    def abort(self) -> None:
        if self.transport is not None:
            self.transport.abort()
