"""An upstream that reads requests as strictly as RFC 9112 allows, and keeps each as it came.

What it cannot read is kept as a problem: whatever a client sends, the sidecar writes nothing that
two servers could read differently.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from tests.fakes.waiting import until

_LINE = re.compile(rb"([A-Z]+) (/[\x21-\x7e]*|\*) HTTP/1\.1")
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+): ([\x21-\x7e\x80-\xff\t ]*)")
_SIZE = re.compile(rb"[0-9a-f]{1,8}")
_LENGTH = re.compile(rb"[0-9]{1,19}")


class Unreadable(Exception):
    """What came is no request, or more than one reading of it is possible."""


@dataclass
class Recorded:
    """One request. Names are as they came."""

    method: str
    target: str
    fields: list[tuple[str, str]]
    body: bytes = b""

    def values(self, folded: str) -> list[tuple[str, str]]:
        """Return the fields that a lenient program takes for this name, in lower case."""
        return [each for each in self.fields if fold(each[0]) == folded]


@dataclass
class RecordingUpstream:
    """``requests`` in the order in which they came whole, ``problems`` of those that did not."""

    url: str = ""
    requests: list[Recorded] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def forget(self) -> None:
        self.requests.clear()
        self.problems.clear()


def fold(name: str) -> str:
    """Read a name as CGI and its kin do, and as some frameworks go further."""
    return re.sub(r"[^0-9A-Za-z]", "-", name).lower()


async def _read_request(reader: asyncio.StreamReader) -> Recorded | None:
    """Return the next request; None at a good end.

    Raises:
        Unreadable: it is none.
    """
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as end:
        if end.partial:
            raise Unreadable(f"half a head: {end.partial!r}") from None
        return None
    first, *lines = head[:-4].split(b"\r\n")
    line = _LINE.fullmatch(first)
    fields = [_FIELD.fullmatch(each) for each in lines]
    if line is None or not all(fields):
        raise Unreadable(f"no head: {head!r}")
    request = Recorded(
        line[1].decode(),
        line[2].decode(),
        [(each[1].decode(), each[2].decode("latin-1")) for each in fields if each is not None],
    )
    request.body = await _read_body(reader, request)
    return request


async def _read_body(reader: asyncio.StreamReader, request: Recorded) -> bytes:
    lengths = request.values("content-length")
    codings = request.values("transfer-encoding")
    if len(lengths) + len(codings) > 1 or len(request.values("host")) != 1:
        raise Unreadable(f"more than one reading: {request.fields!r}")
    try:
        if lengths:
            if not _LENGTH.fullmatch(lengths[0][1].encode()) or lengths[0][0] != "Content-Length":
                raise Unreadable(f"no length: {lengths!r}")
            return await reader.readexactly(int(lengths[0][1]))
        if codings:
            if [value for _, value in codings] != ["chunked"]:
                raise Unreadable(f"no coding: {codings!r}")
            return await _read_chunks(reader)
    except asyncio.IncompleteReadError:
        # The sidecar broke it off, as it has to where the client did.
        raise Unreadable("broken off") from None
    return b""


async def _read_chunks(reader: asyncio.StreamReader) -> bytes:
    body = b""
    while True:
        size = (await reader.readuntil(b"\r\n"))[:-2]
        if not _SIZE.fullmatch(size):
            raise Unreadable(f"no size of a chunk: {size!r}")
        chunk = await reader.readexactly(int(size, 16) + 2)
        if not chunk.endswith(b"\r\n"):
            raise Unreadable(f"no end of a chunk: {chunk!r}")
        if len(chunk) == 2:
            return body
        body += chunk[:-2]


def tell_number(request: Recorded, number: int) -> bytes:
    """Answer a request with its number."""
    told = b"%d" % number
    body = b"" if request.method == "HEAD" else told
    return b"HTTP/1.1 200 OK\r\nX-Number: %b\r\nContent-Length: %d\r\n\r\n%b" % (
        told,
        len(told),
        body,
    )


@asynccontextmanager
async def recording_upstream(
    answer: Callable[[Recorded, int], bytes] = tell_number,
) -> AsyncIterator[RecordingUpstream]:
    """Run it. ``answer`` is given each request and its number, counted over all connections."""
    upstream = RecordingUpstream()

    writers: set[asyncio.StreamWriter] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.add(writer)
        try:
            while request := await _read_request(reader):
                upstream.requests.append(request)
                writer.write(answer(request, len(upstream.requests)))
        except Unreadable as problem:
            upstream.problems.append(str(problem))
        except ConnectionError:
            upstream.problems.append("broken off")
        finally:
            writer.close()
            writers.discard(writer)

    server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=2**20)
    host, port = server.sockets[0].getsockname()[:2]
    upstream.url = f"http://{host}:{port}"
    try:
        yield upstream
    finally:
        server.close()
        for writer in writers:
            writer.close()
        await until(lambda: not writers)
