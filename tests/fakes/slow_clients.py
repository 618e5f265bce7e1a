"""Clients that are slow in one way each, many of them, until they are cut."""

import asyncio
import socket
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from enum import Enum, auto

from tests.fakes.upstream import Conversation, answer_ok

_PIECE = bytes(64_000)

Slow = tuple[asyncio.StreamReader, asyncio.StreamWriter]

_PAUSE_SECONDS = 0.5
_OCTETS = 16_000_000
_SIP_OCTETS = 20


class Kind(Enum):
    """What a client is slow with."""

    HEAD = auto()
    BODY = auto()
    READER = auto()  # it reads nothing
    SIPPER = auto()  # it reads a little now and then


@dataclass
class SlowClients:
    """How many are connected, how many of them were cut, after how long, and with which words."""

    address: tuple[str, int]
    token: str
    connected: int = 0
    cut: int = 0
    took: dict[Kind, list[float]] = field(default_factory=dict)
    told: dict[Kind, Counter[str]] = field(default_factory=dict)

    async def run(self, kind: Kind, after: float) -> None:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(after)
        with socket.socket() as client:
            client.setblocking(False)  # noqa: FBT003
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            await loop.sock_connect(client, self.address)
            self.connected += 1
            told = self.told.setdefault(kind, Counter())
            began = loop.time()
            with suppress(ConnectionError):
                await loop.sock_sendall(client, self._beginning(kind))
                match kind:
                    case Kind.READER:
                        await self._wait_for_the_end(client)
                    case Kind.SIPPER:
                        await self._sip(client)
                    case Kind.HEAD | Kind.BODY:
                        told[await self._trickle(client)] += 1
            self.cut += 1
            self.took.setdefault(kind, []).append(loop.time() - began)

    async def _trickle(self, client: socket.socket) -> str:
        """Send until something is said; return the status."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(_PAUSE_SECONDS)
            await loop.sock_sendall(client, b"a")
            try:
                return client.recv(65536)[9:12].decode()
            except BlockingIOError:
                continue

    async def _wait_for_the_end(self, client: socket.socket) -> None:
        while not _is_reset(client):  # noqa: ASYNC110 - the kernel tells nobody who reads nothing
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _sip(self, client: socket.socket) -> None:
        # What has come is there to be read even after a reset.
        while not _is_reset(client):
            await asyncio.sleep(_PAUSE_SECONDS)
            with suppress(BlockingIOError):
                client.recv(_SIP_OCTETS)

    def _beginning(self, kind: Kind) -> bytes:
        bearer = b"Authorization: Bearer " + self.token.encode()
        match kind:
            case Kind.HEAD:
                return b"GET /api/userinfo HTTP/1.1\r\nHost: a\r\nX-Slow: "
            case Kind.BODY:
                line = b"POST /api/demo/echo HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n"
                return line + bearer + b"\r\n\r\n"
            case Kind.READER | Kind.SIPPER:
                line = b"GET /api/demo/download?size=%d HTTP/1.1\r\nHost: a\r\n" % _OCTETS
                return line + bearer + b"\r\n\r\n"


def _is_reset(client: socket.socket) -> bool:
    state: int = client.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]
    return state != 1


async def answer_slow_clients(conversation: Conversation) -> None:
    """Be their upstream."""
    if "/download" in conversation.request_line:
        # Else it takes as much of the machine's memory for sockets as all clients together.
        connection = conversation.writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
        await conversation.say(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % _OCTETS)
        for _ in range(_OCTETS // len(_PIECE)):
            await conversation.say(_PIECE)
    elif "/echo" in conversation.request_line:
        await conversation.read_to_end()
    else:
        await answer_ok(conversation)


@asynccontextmanager
async def slow_clients(
    address: tuple[str, int],
    token: str,
    kinds: Mapping[Kind, int],
    coming_seconds: float = 0.0,
) -> AsyncIterator[SlowClients]:
    """Run so many of each kind, which come within so many seconds.

    Those that were not cut leave with the block.
    """
    slow = SlowClients(address, token)
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(slow.run(kind, coming_seconds * place / number))
            for kind, number in kinds.items()
            for place in range(number)
        ]
        try:
            yield slow
        finally:
            for task in tasks:
                task.cancel()
