"""What stays open at the demo's gateway: event streams and WebSockets. They end with it."""

import asyncio
from contextlib import suppress

from aiohttp import WSCloseCode, WSMsgType, web

from sidecar.demo.loopback import Loopback

_CLOSE_SECONDS = 0.1


class Streams:
    """The streams of one server; ``open`` is how many there are now."""

    def __init__(self, loopback: Loopback, tick_seconds: float) -> None:
        self.open = 0
        self._loopback = loopback
        self._tick_seconds = tick_seconds

    async def events(self, request: web.Request) -> web.StreamResponse:
        """Answer with server-sent events: a comment at once, then a count at every tick."""
        response = web.StreamResponse(
            headers={
                "Content-Type": "text/event-stream",
                "Cache-Control": "no-cache",
                "X-Accel-Buffering": "no",
            }
        )
        await response.prepare(request)
        if request.method == "HEAD":
            return response
        self.open += 1
        try:
            await response.write(b": connected\n\n")
            count = 0
            while await self._loopback.lasts(self._tick_seconds):
                count += 1
                await response.write(f'id: {count}\ndata: {{"count":{count}}}\n\n'.encode())
        finally:
            self.open -= 1
        return response

    async def talk(self, request: web.Request, *, ticks: bool) -> web.StreamResponse:
        """Echo every message of a WebSocket; with ``ticks``, also count aloud at every tick."""
        socket = web.WebSocketResponse(timeout=_CLOSE_SECONDS)
        await socket.prepare(request)
        self.open += 1
        try:
            async with asyncio.TaskGroup() as tasks:
                ticker = tasks.create_task(self._tick(socket, ticks=ticks))
                with suppress(ConnectionError):
                    await _echo(socket)
                if not self._loopback.is_closing:
                    ticker.cancel()
        finally:
            self.open -= 1
        return socket

    async def _tick(self, socket: web.WebSocketResponse, *, ticks: bool) -> None:
        count = 0
        with suppress(ConnectionError):
            while await self._loopback.lasts(self._tick_seconds):
                if ticks:
                    count += 1
                    await socket.send_json({"count": count})
            await socket.close(code=WSCloseCode.GOING_AWAY)


async def _echo(socket: web.WebSocketResponse) -> None:
    async for message in socket:
        if message.type is WSMsgType.TEXT:
            await socket.send_str(message.data)
        elif message.type is WSMsgType.BINARY:
            await socket.send_bytes(message.data)
