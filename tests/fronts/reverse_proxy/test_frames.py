"""Frames of WebSocket through the sidecar: every one passes octet for octet, the illegal ones too.

What they mean is for the two ends. The kinds are those of the Autobahn test suite's groups 1 to 7,
10 and 12: sizes, pings, reserved bits and opcodes, fragments, text that is no UTF-8, closing, and
compressed messages.
"""

import asyncio
import random
import struct
from collections.abc import Iterator

import pytest

from tests.fakes.front import Front, running_front
from tests.fakes.upstream import Conversation, scripted_upstream
from tests.fronts.reverse_proxy.test_tunnel import HANDSHAKE, SWITCHED

FINAL, COMPRESSED = 0x80, 0x40
CONTINUED, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
SIZES = (0, 1, 16, 125, 126, 127, 128, 65535, 65536, 200_000)
NO_UTF_8 = (b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xce\xba\xe1\xbd", b"\xff\xfe")


def frame(first: int, payload: bytes = b"", mask: bytes | None = None) -> bytes:
    """Return a frame (RFC 6455, 5.2) of this first octet, masked as a client's are."""
    size = len(payload)
    if size < 126:
        length = bytes((size,))
    else:
        length = struct.pack("!BH", 126, size) if size < 65536 else struct.pack("!BQ", 127, size)
    if mask is None:
        return bytes((first,)) + length + payload
    masked = (int.from_bytes(payload, "big") ^ int.from_bytes(_key(mask, size), "big")).to_bytes(
        size, "big"
    )
    return bytes((first, length[0] | 0x80)) + length[1:] + mask + masked


def _key(mask: bytes, size: int) -> bytes:
    return (mask * (size // 4 + 1))[:size]


def frames(mask: bytes | None) -> Iterator[bytes]:
    for size in SIZES:
        yield from (frame(FINAL | opcode, b"*" * size, mask) for opcode in (TEXT, BINARY))
    for size in (0, 1, 125, 126):
        yield from (frame(FINAL | opcode, b"?" * size, mask) for opcode in (PING, PONG))
    for first in range(256):  # every reserved bit and opcode, final or not
        yield frame(first, b"abc", mask)
    yield frame(TEXT, b"one ", mask)
    yield frame(FINAL | PING, b"between", mask)
    yield frame(CONTINUED, b"two ", mask) * 100
    yield frame(FINAL | CONTINUED, b"three", mask)
    yield from (frame(FINAL | TEXT, text, mask) for text in NO_UTF_8)
    yield frame(FINAL | COMPRESSED | TEXT, b"\xf2\x48\xcd\xc9\xc9\x07\x00", mask)
    yield frame(FINAL | CLOSE, b"\x03", mask)
    for code in range(5000):
        yield frame(FINAL | CLOSE, struct.pack("!H", code) + b"bye", mask)


def pieces(octets: bytes) -> Iterator[bytes]:
    """Cut the stream as a network may: within headers, one octet at a time, and several at once."""
    sizes = random.Random(6455)  # noqa: S311
    at = 0
    while at < len(octets):
        size = 1 if at < 300 else sizes.choice((1, 2, 7, 1000, 4096, 60_000))
        yield octets[at : at + size]
        at += size


async def passed(front: Front, octets: bytes, expected: int) -> bytes:
    """Say all of it behind a handshake; return as many octets of upstream's as are expected."""
    reader, writer = await asyncio.open_connection(*front.address)
    writer.write(front.request("GET /watch HTTP/1.1", *HANDSHAKE))
    await reader.readuntil(b"\r\n\r\n")

    async def say() -> None:
        for piece in pieces(octets):
            writer.write(piece)
            await writer.drain()

    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        tasks.create_task(say())
        heard = await reader.readexactly(expected)
    writer.close()
    return heard


@pytest.mark.parametrize("way", ["from the client", "from upstream", "both at once"])
async def test_each_frame_passes_octet_for_octet(way: str) -> None:
    asked = b"".join(frames(b"\x11\x22\x00\xff")) if way != "from upstream" else b""
    told = b"".join(frames(None)) if way != "from the client" else b"\x88\x00"

    async def talk(conversation: Conversation) -> None:
        await conversation.say(SWITCHED)
        if way == "from the client":
            await conversation.read(len(asked))
        for piece in pieces(told):
            await conversation.say(piece)
        if way == "both at once":
            await conversation.read(len(asked))
        conversation.writer.close()

    async with scripted_upstream(talk) as upstream, running_front(upstream.url) as front:
        heard = await passed(front, asked, len(told))
        await asyncio.wait_for(upstream.last.ended.wait(), 10)

        assert heard == told
        assert bytes(upstream.last.received) == asked


def test_there_is_every_code_to_close_with_and_every_kind_of_frame() -> None:
    found = list(frames(None))

    assert len(found) > 5200
    assert {each[0] for each in found} == set(range(256))
    assert sum(each[0] == FINAL | CLOSE and len(each) == 7 for each in found) == 5000
