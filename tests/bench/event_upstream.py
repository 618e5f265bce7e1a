"""An upstream of event streams: it begins one for each request, and sends to all once a second."""

import asyncio

from typing_extensions import override

PERIOD_SECONDS = 1.0
_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\n"
    b"X-Accel-Buffering: no\r\nTransfer-Encoding: chunked\r\n\r\n"
)
_TEXT = b"data: " + b"x" * 92 + b"\n\n"
EVENT = b"%x\r\n%s\r\n" % (len(_TEXT), _TEXT)


class _Stream(asyncio.Protocol):
    def __init__(self, streams: set[asyncio.Transport]) -> None:
        self._streams = streams

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._unread = b""

    @override
    def data_received(self, data: bytes) -> None:
        self._unread += data
        if b"\r\n\r\n" in self._unread:
            self._unread = b""
            self._transport.write(_HEAD + EVENT)
            self._streams.add(self._transport)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._streams.discard(self._transport)


async def main() -> None:
    streams: set[asyncio.Transport] = set()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Stream(streams), "127.0.0.1", 0, backlog=4096)
    host, port = server.sockets[0].getsockname()[:2]
    print(f"listening on http://{host}:{port}", flush=True)
    while True:
        await asyncio.sleep(PERIOD_SECONDS)
        for stream in streams:
            stream.write(EVENT)


if __name__ == "__main__":
    asyncio.run(main())
