"""An upstream for restarts: answers, keeps streams that tick, and counts POSTs that came twice."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from typing_extensions import override

_OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
_EVENTS = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"e\r\n: connected\r\n\n\r\n"
)
# RFC 6455, 1.3: the answer to the key of its example.
_SWITCHED = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
)
_EVENT = b"8\r\n: tick\n\n\r\n"
_FRAME = b"\x81\x04tick"
_TICK_SECONDS = 1.0


@dataclass
class RestartUpstream:
    """What came: ``posts`` by the name that their client gave them.

    On a connection that has carried a request before, it breaks off a ``share`` of those that come,
    unanswered, as a server does that ends an unused connection in the same moment; ``broken`` are
    those, by method.
    """

    url: str = ""
    share: float = 0.0
    posts: Counter[bytes] = field(default_factory=Counter)
    broken: Counter[str] = field(default_factory=Counter)
    ticking: dict[asyncio.Transport, bytes] = field(default_factory=dict)

    @property
    def duplicates(self) -> int:
        return sum(times - 1 for times in self.posts.values())

    async def tick(self) -> None:
        while True:
            await asyncio.sleep(_TICK_SECONDS)
            for transport, event in self.ticking.items():
                transport.write(event)


class _Conversation(asyncio.Protocol):
    def __init__(self, upstream: RestartUpstream) -> None:
        self._upstream = upstream
        self._unread = b""
        self._was_used = False
        self._transport: asyncio.Transport

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._upstream.ticking.pop(self._transport, None)

    @override
    def data_received(self, data: bytes) -> None:
        if self._transport in self._upstream.ticking:
            return
        self._unread += data
        while (end := self._unread.find(b"\r\n\r\n")) >= 0:
            head, self._unread = self._unread[:end], self._unread[end + 4 :]
            self._answer(head)

    def _answer(self, head: bytes) -> None:
        target = head.split(b" ", 2)[1]
        if target.endswith(b"/stream"):
            self._stay(_EVENTS, _EVENT)
        elif target.endswith(b"/ws"):
            self._stay(_SWITCHED, _FRAME)
        else:
            method = head.split(b" ", 1)[0].decode()
            if method == "POST":
                self._upstream.posts[target] += 1
            if self._was_used and random.random() < self._upstream.share:  # noqa: S311 - no secret
                self._upstream.broken[method] += 1
                self._transport.abort()
            else:
                self._transport.write(_OK)
            self._was_used = True

    def _stay(self, beginning: bytes, event: bytes) -> None:
        self._transport.write(beginning)
        self._upstream.ticking[self._transport] = event


@asynccontextmanager
async def restart_upstream() -> AsyncIterator[RestartUpstream]:
    """Run it until the block ends. A POST has an empty body."""
    upstream = RestartUpstream()
    server = await asyncio.get_running_loop().create_server(
        lambda: _Conversation(upstream), "127.0.0.1", 0, backlog=1024
    )
    upstream.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with asyncio.TaskGroup() as tasks:
        ticking = tasks.create_task(upstream.tick())
        try:
            yield upstream
        finally:
            ticking.cancel()
            server.close()
