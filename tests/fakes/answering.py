"""A server that gives every request the same answer, however wrong, and keeps what it was asked."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from tests.fakes.waiting import until


@dataclass
class Answering:
    """``answer`` may be changed at any time; None never answers."""

    answer: bytes | None
    requests: list[str] = field(default_factory=list)
    url: str = ""
    serving: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.serving += 1
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            length = next(
                (
                    int(line.partition(":")[2])
                    for line in head.split("\r\n")
                    if line.lower().startswith("content-length:")
                ),
                0,
            )
            self.requests.append(head + (await reader.readexactly(length)).decode())
            if self.answer is None:
                await reader.read()
            else:
                writer.write(self.answer)
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()
            with contextlib.suppress(OSError):  # else the loop may end before the socket is closed
                await writer.wait_closed()
            self.serving -= 1


def ok(body: bytes, *headers: str) -> bytes:
    """Return an answer with this body."""
    lines = ("HTTP/1.1 200 OK", f"Content-Length: {len(body)}", *headers)
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


@asynccontextmanager
async def answering(answer: bytes | None, path: str | None = None) -> AsyncIterator[Answering]:
    """Listen on loopback, or at the Unix socket ``path``, until the block ends."""
    found = Answering(answer)
    server = (
        await asyncio.start_server(found.serve, "127.0.0.1", 0)
        if path is None
        else await asyncio.start_unix_server(found.serve, path)
    )
    async with server:
        found.url = (
            f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            if path is None
            else f"unix:{path}"
        )
        yield found
        await until(lambda: not found.serving)
