"""A gRPC call in raw frames of HTTP/2, for what no client would send."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_HEADERS, _SETTINGS = 1, 4
_END_STREAM_AND_HEADERS = 0x1 | 0x4


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    head = len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big")
    return head + payload


def _literal(name: bytes, value: bytes) -> bytes:
    """Return a field in HPACK, never indexed and not Huffman-coded (RFC 7541, 6.2.3)."""
    assert len(name) < 127
    assert len(value) < 127
    return b"\x10" + bytes([len(name)]) + name + bytes([len(value)]) + value


@asynccontextmanager
async def raw_upstream(*, trailers_only: bool) -> AsyncIterator[str]:
    """Answer each call with a value beyond ASCII in its metadata; yield where it listens."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(len(_PREFACE))
        writer.write(_frame(_SETTINGS, 0, 0, b""))
        while True:
            head = await reader.readexactly(9)
            await reader.readexactly(int.from_bytes(head[:3], "big"))
            if head[3] == _SETTINGS and not head[4]:
                writer.write(_frame(_SETTINGS, 1, 0, b""))
            if head[3] != _HEADERS:
                continue
            fields = [(b":status", b"200"), (b"content-type", b"application/grpc")]
            if trailers_only:
                fields.append((b"grpc-status", b"5"))
            block = b"".join(_literal(*each) for each in (*fields, (b"k", b"\xff\xfe")))
            flags = _END_STREAM_AND_HEADERS if trailers_only else 0x4
            writer.write(_frame(_HEADERS, flags, int.from_bytes(head[5:], "big"), block))

    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            await answer(reader, writer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    try:
        yield f"{host}:{port}"
    finally:
        server.close()
        for writer in writers:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()


async def raw_call(url: str, path: bytes, *more: tuple[bytes, bytes]) -> bytes:
    """Begin a call without a message; return what comes until the connection ends or rests."""
    host, _, port = url.partition("://")[2].rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    fields = [
        (b":method", b"POST"), (b":scheme", b"http"), (b":path", path),
        (b":authority", b"sidecar.example"), (b"content-type", b"application/grpc"),
        (b"te", b"trailers"), *more,
    ]  # fmt: skip
    block = b"".join(_literal(*each) for each in fields)
    writer.write(_PREFACE + _frame(_SETTINGS, 0, 0, b""))
    writer.write(_frame(_HEADERS, _END_STREAM_AND_HEADERS, 1, block))
    got = bytearray()
    try:
        async with asyncio.timeout(0.5):
            while data := await reader.read(4096):
                got += data
    except (TimeoutError, ConnectionError):
        pass
    writer.close()
    return bytes(got)
