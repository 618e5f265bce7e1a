"""The stages of a request on its way through the reverse proxy, each held for a test to act on."""

import asyncio
import base64
import hashlib
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from sidecar.fronts.reverse_proxy.upstream import UpstreamPolicy
from tests.fakes.front import Front, running_front
from tests.fakes.receiver import Books
from tests.fakes.upstream import (
    Conversation,
    ScriptedUpstream,
    Talk,
    full_backlog,
    scripted_upstream,
)
from tests.fakes.waiting import until
from tests.fakes.world import World

KEY = base64.b64encode(b"sixteen octets!!")
HANDSHAKE = (
    b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Version: 13",
    b"Sec-WebSocket-Key: " + KEY,
)  # fmt: skip
SWITCHED = (
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Accept: "
    + base64.b64encode(
        hashlib.sha1(KEY + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11", usedforsecurity=False).digest()
    )
    + b"\r\n\r\n"
)
BEGUN = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nbegun\r\n"
CHUNKED = b"Transfer-Encoding: chunked"


@dataclass
class Situation:
    """A request that has come to its stage, and the client's end of its connection.

    ``other`` is the client who has the connection to upstream that this one waits for.
    """

    front: Front
    upstream: ScriptedUpstream
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    other: asyncio.StreamWriter | None = None

    @property
    def books(self) -> Books:
        return Books(self.front.parts.upstream)

    def reset(self) -> None:
        """Leave with a RST, as a client does that has unread octets or was killed."""
        connection = self.writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    def dismiss_other(self) -> None:
        if self.other is not None:
            self.other.close()

    @property
    def is_clear(self) -> bool:
        """Say whether nothing at all is left of any request."""
        return (
            self.books.are_clear
            and not self.front.streams._by_subject
            and not any(self.front.world.observer.in_flight_now.values())
            and not self.front.proxy._server.connections
            and not tasks_of_ours()
        )


def tasks_of_ours() -> list[str]:
    """Return the names of what runs and was not begun by a test."""
    coroutines: list[Any] = [task.get_coro() for task in asyncio.all_tasks()]
    return [str(each) for each in coroutines if not _is_a_tests(each)]


def _is_a_tests(coroutine: Any) -> bool:
    # What closes an async generator that nobody went to the end of has no code of its own.
    code = getattr(coroutine, "cr_code", None)
    return code is not None and "/tests/" in code.co_filename


async def silent(conversation: Conversation) -> None:
    await conversation.read_to_end()


async def half_a_head(conversation: Conversation) -> None:
    await conversation.say(b"HTTP/1.1 200 OK\r\nConte")
    await conversation.read_to_end()


async def begun(conversation: Conversation) -> None:
    await conversation.say(BEGUN)
    await conversation.read_to_end()


async def switched(conversation: Conversation) -> None:
    await conversation.say(SWITCHED + b"\x81\x05begun")
    await conversation.read_to_end()


def _is_connected(now: Situation) -> object:
    return now.front.proxy._server.connections


def _is_being_decided(now: Situation) -> object:
    return now.front.world.accounts.reads


def _is_waiting(now: Situation) -> object:
    return now.books.waiting


def _is_connecting(now: Situation) -> object:
    return now.books.connecting


def _is_asked(now: Situation) -> object:
    return now.upstream.conversations


def _is_half_answered(now: Situation) -> object:
    (address,) = now.front.parts.upstream._addresses
    return any(connection._reader.has_begun for connection in address.busy)


def _has_part(now: Situation) -> object:
    return now.upstream.conversations and b"part" in now.upstream.last.received


def _is_told(text: bytes) -> Callable[[Situation], object]:
    return lambda now: text in now.reader._buffer  # type: ignore[attr-defined]


@dataclass(frozen=True)
class Stage:
    """How far a request has come. ``cut`` is the status of a cut there, or 0 for a reset."""

    name: str
    reached: Callable[[Situation], object]
    talk: Talk = silent
    line: str = "GET /reports HTTP/1.1"
    fields: tuple[bytes, ...] = ()
    body: bytes = b""
    cut: int = 401


UPLOAD = "POST /admin/x HTTP/1.1"
LENGTH = b"Content-Length: 100"
STAGES = (
    Stage("waiting for a connection", _is_waiting),
    Stage("connecting", _is_connecting),
    Stage("asked", _is_asked),
    Stage("half answered", _is_half_answered, half_a_head),
    Stage("in mid-answer", _is_told(b"begun"), begun, cut=0),
    Stage("in mid-upload", _has_part, silent, UPLOAD, (LENGTH,), b"part"),
    Stage("in mid-chunks", _has_part, silent, UPLOAD, (CHUNKED,), b"4\r\npart\r\n"),
    Stage("upload asked for", _is_told(b"100 Continue"), silent, UPLOAD,
          (LENGTH, b"Expect: 100-continue")),
    Stage("upload answered early", _is_told(b"begun"), begun, UPLOAD, (LENGTH,), b"part", cut=0),
    Stage("uploaded and half answered", _is_half_answered, half_a_head, UPLOAD, (CHUNKED,),
          b"4\r\npart\r\n0\r\n\r\n"),
    Stage("uploaded and in mid-answer", _is_told(b"begun"), begun, UPLOAD, (CHUNKED,),
          b"4\r\npart\r\n0\r\n\r\n", cut=0),
    Stage("in a handshake", _is_asked, silent, "GET /watch HTTP/1.1", HANDSHAKE),
    Stage("in a tunnel", _is_told(b"begun"), switched, "GET /watch HTTP/1.1", HANDSHAKE, cut=1008),
)  # fmt: skip
# Nothing is on the books yet: there is nothing to cut.
EARLY_STAGES = (
    Stage("in mid-head", _is_connected, body=b"GET /reports HTTP/1.1\r\nHost: a\r\n"),
    Stage("being decided", _is_being_decided),
)


@asynccontextmanager
async def at(stage: Stage, *, idle_seconds: float = 10.0) -> AsyncIterator[Situation]:
    """Bring a request to its stage."""
    world = World()
    world.enroll("robot", "admin", at_hand=stage.name != "being decided")
    world.accounts.held = asyncio.Event()
    # What was begun for somebody who has gone is connected to the end.
    seconds = 2.0 if stage.name == "connecting" else 8.0
    policy = UpstreamPolicy("", max_connections=1, connect_timeout=seconds)
    async with AsyncExitStack() as stack:
        upstream = await stack.enter_async_context(scripted_upstream(stage.talk))
        url = upstream.url
        if stage.name == "connecting":
            url = stack.enter_context(full_backlog())
        front = await stack.enter_async_context(
            running_front(url, world=world, policy=policy, idle_seconds=idle_seconds)
        )
        now = Situation(front, upstream, *await asyncio.open_connection(*front.address))
        stack.callback(now.writer.close)
        if stage.name == "waiting for a connection":
            _, now.other = await asyncio.open_connection(*front.address)
            stack.callback(now.other.close)
            now.other.write(front.request())
            await until(lambda: upstream.conversations)
        if stage.name == "in mid-head":
            now.writer.write(stage.body)
        else:
            now.writer.write(front.request(stage.line, *stage.fields, body=stage.body))
        await until(lambda: stage.reached(now))
        yield now
