"""An upstream that says exactly what a test wants said, and keeps every octet that it got."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

Talk = Callable[["Conversation"], Awaitable[None]]


@dataclass
class Conversation:
    """One connection from the sidecar: read what it sends, write what you like."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    head: bytes = b""
    received: bytearray = field(default_factory=bytearray)
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def request_line(self) -> str:
        return self.head.split(b"\r\n", 1)[0].decode("latin-1")

    @property
    def fields(self) -> list[tuple[str, str]]:
        lines = self.head.decode("latin-1").split("\r\n")[1:]
        return [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines)]

    def values(self, name: str) -> list[str]:
        return [value for given, value in self.fields if given.lower() == name.lower()]

    async def read(self, octets: int) -> bytes:
        data = await self.reader.readexactly(octets)
        self.received += data
        return data

    async def read_to_end(self) -> bytes:
        """Read until the sidecar ends or breaks the connection."""
        with suppress(ConnectionError):
            while data := await self.reader.read(65536):
                self.received += data
        return bytes(self.received)

    async def say(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    def abort(self) -> None:
        self.writer.transport.abort()


@dataclass
class ScriptedUpstream:
    """``url`` is where it is; ``conversations`` holds every request, one entry each."""

    url: str = ""
    conversations: list[Conversation] = field(default_factory=list)
    connections: int = 0

    @property
    def last(self) -> Conversation:
        return self.conversations[-1]


async def answer_ok(conversation: Conversation) -> None:
    await conversation.say(OK)


@asynccontextmanager
async def scripted_upstream(talk: Talk = answer_ok) -> AsyncIterator[ScriptedUpstream]:
    """Run it; ``talk`` is called once per request, after its head was read.

    A connection stays open for the next request until ``talk`` closes it.
    """
    upstream = ScriptedUpstream()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream.connections += 1
        try:
            while True:
                conversation = Conversation(reader, writer)
                conversation.head = (await reader.readuntil(b"\r\n\r\n"))[:-4]
                upstream.conversations.append(conversation)
                try:
                    await talk(conversation)
                finally:
                    conversation.ended.set()
                if writer.is_closing():
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=2**20, backlog=1024)
    host, port = server.sockets[0].getsockname()[:2]
    upstream.url = f"http://{host}:{port}"
    try:
        yield upstream
    finally:
        server.close()


@contextmanager
def full_backlog() -> Iterator[str]:
    """Yield the URL of an address that never answers a connection."""
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        others = [socket.socket() for _ in range(4)]
        for other in others:
            other.settimeout(0)
            other.connect_ex(full.getsockname())
        try:
            yield f"http://127.0.0.1:{full.getsockname()[1]}"
        finally:
            for other in others:
                other.close()
