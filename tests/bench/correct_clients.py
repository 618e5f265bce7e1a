"""Clients that do what HTTP lets them when servers come and go, and no more.

A balancer in front of several replicas is played in the clients, as that of a Kubernetes service
is: each new connection goes to one of those whose ``/readyz`` said 200 when it was last asked, and
stays there. A refused connection is tried nowhere else.
"""

import asyncio
import itertools
import ssl
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import aiohttp

from tests.fakes.open_streams import EVENTS, WEBSOCKET, End, OpenStream, open_stream

PROBE_SECONDS = 0.2
_PATIENCE_SECONDS = 10.0
_AGAIN_SECONDS = 0.2
_RELOAD_SECONDS = 10.0


@dataclass(eq=False)
class Replica:
    """One sidecar as the balancer knows it. ``told`` is when it was told to end, or to reload."""

    url: str
    admin_url: str
    told: list[float] = field(default_factory=list)

    def may_end(self, began: float, ended: float, deadline: float) -> bool:
        """Say whether a stream was let live for ``deadline`` seconds after its process was told."""
        return any(began - _RELOAD_SECONDS < told <= ended - deadline for told in self.told)


@dataclass
class Balancer:
    """Deals new connections out to the ``ready`` ones, in turn."""

    ready: list[Replica] = field(default_factory=list)
    tls: ssl.SSLContext | None = None
    _turn: Iterator[int] = field(default_factory=itertools.count)

    def choose(self) -> Replica:
        """Return the next one. Raises ConnectionRefusedError where there is none."""
        if not self.ready:
            raise ConnectionRefusedError("no replica is ready")
        return self.ready[next(self._turn) % len(self.ready)]

    async def follow(self, replica: Replica) -> None:
        """Ask a replica whether it is ready, until cancelled."""
        async with aiohttp.ClientSession() as http:
            while True:
                is_ready = False
                with suppress(aiohttp.ClientError):
                    async with http.get(replica.admin_url + "/readyz") as response:
                        is_ready = response.status == 200
                if is_ready and replica not in self.ready:
                    self.ready.append(replica)
                elif not is_ready and replica in self.ready:
                    self.ready.remove(replica)
                await asyncio.sleep(PROBE_SECONDS)


@dataclass
class Count:
    """What came of it all: requests that ``failed`` and streams that were ``lost``, with why.

    Both are by the local port of the connection, 0 where there was none. ``streams`` are all that
    ended, by how they did.
    """

    answered: int = 0
    retried: int = 0
    failed: list[tuple[int, str]] = field(default_factory=list)
    lost: list[tuple[int, str]] = field(default_factory=list)
    streams: Counter[str] = field(default_factory=Counter)


class _Broke(Exception):
    """A connection ended; ``silently`` if nothing of an answer had come."""

    def __init__(self, problem: BaseException, *, silently: bool) -> None:
        super().__init__(repr(problem))
        self.silently = silently


class Client:
    """Asks on one connection, kept for as long as the server lets it.

    ``is_mixed`` makes every fourth request a POST, which is never sent twice.
    """

    def __init__(self, name: str, balancer: Balancer, token: str, *, is_mixed: bool) -> None:
        self._name = name
        self._balancer = balancer
        self._token = token
        self._is_mixed = is_mixed
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._was_answered = False
        self._numbers = itertools.count()

    async def ask(self, count: Count) -> None:
        """Send the next request, and count what becomes of it."""
        number, port = next(self._numbers), 0
        is_post = self._is_mixed and number % 4 == 3
        try:
            try:
                status = await self._talk(number, is_post=is_post)
            except _Broke as broke:
                port = self._port
                # RFC 9112, 9.3.1: only what is idempotent, and only if the connection was kept.
                may_retry = broke.silently and self._was_answered and not is_post
                self.close()
                if not may_retry:
                    raise
                count.retried += 1
                status = await self._talk(number, is_post=is_post)
        except (OSError, _Broke) as problem:
            self.close()
            count.failed.append((port, str(problem)))
            return
        count.answered += 1
        if status != 200:
            count.failed.append((port, f"status {status}"))

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
        self._streams, self._was_answered = None, False

    @property
    def _port(self) -> int:
        assert self._streams is not None
        return int(self._streams[1].get_extra_info("sockname")[1])

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        where, tls = urlsplit(self._balancer.choose().url), self._balancer.tls
        name = None if tls is None else "localhost"
        return await asyncio.open_connection(
            where.hostname, where.port, ssl=tls, server_hostname=name
        )

    async def _talk(self, number: int, *, is_post: bool) -> int:
        if self._streams is not None and self._streams[0].at_eof():
            self.close()  # RFC 9112, 9.6: the server has ended it, and it is seen before it is used
        self._streams = self._streams or await self._connect()
        reader, writer = self._streams
        method = "POST" if is_post else "GET"
        length = "Content-Length: 0\r\n" if is_post else ""
        writer.write(
            f"{method} /api/echo/{self._name}-{number} HTTP/1.1\r\nHost: a\r\n{length}"
            f"Authorization: Bearer {self._token}\r\n\r\n".encode()
        )
        head = b""
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                head = await reader.readexactly(1)
                head += await reader.readuntil(b"\r\n\r\n")
                fields = head.lower()
                length = fields.partition(b"content-length:")[2].split(b"\r\n")[0].decode()
                await reader.readexactly(int(length))
        except (OSError, EOFError) as problem:
            raise _Broke(problem, silently=not head) from None
        self._was_answered = True
        if b"\r\nconnection: close" in fields:
            self.close()
        return int(head.split(b" ", 2)[1])


class Crowd:
    """All clients: so many that ask all the time, some that ask seldom, and open streams."""

    def __init__(self, balancer: Balancer, token: str, deadline: float) -> None:
        self._balancer = balancer
        self._token = token
        self._deadline = deadline
        self.count = Count()
        self.is_over = False

    async def run(self, rate: float, clients: int, streams: int) -> None:
        """Ask ``rate`` times a second by so many clients, and hold streams, until it is over.

        A fifth of the clients asks every three seconds and never by POST.
        """
        seldom = clients // 5
        pause = (clients - seldom) / rate
        async with asyncio.TaskGroup() as tasks:
            for number in range(clients):
                is_busy = number >= seldom
                client = Client(str(number), self._balancer, self._token, is_mixed=is_busy)
                tasks.create_task(self._keep_asking(client, pause if is_busy else 3.0, number))
            for number in range(streams):
                tasks.create_task(self._keep_stream(WEBSOCKET if number % 2 else EVENTS))

    async def _keep_asking(self, client: Client, pause: float, number: int) -> None:
        loop = asyncio.get_running_loop()
        turn = loop.time() + pause * (number % 17) / 17
        while not self.is_over:
            await asyncio.sleep(max(0.0, turn - loop.time()))
            turn += pause
            await client.ask(self.count)
        client.close()

    async def _keep_stream(self, path: str) -> None:
        while not self.is_over:
            try:
                replica = self._balancer.choose()
                stream = await open_stream(replica.url, path, self._token, self._balancer.tls)
            except OSError as problem:
                self.count.failed.append((0, f"stream: {problem}"))
                await asyncio.sleep(_AGAIN_SECONDS)
                continue
            began = asyncio.get_running_loop().time()
            while not (stream.ended.done() or self.is_over):
                await asyncio.sleep(0.05)
            self._note_end(stream, replica, began)
            stream.abort()

    def _note_end(self, stream: OpenStream, replica: Replica, began: float) -> None:
        if stream.has_begun and stream.end is End.OPEN:
            return
        name = "WebSocket" if stream.is_websocket else "events"
        how = f"{name} {stream.end if stream.has_begun else 'no answer'}"
        self.count.streams[how] += 1
        proper = End.GOING_AWAY if stream.is_websocket else End.BROKEN
        if not stream.has_begun or stream.end is not proper:
            self.count.lost.append((stream.port, how))
        elif not replica.may_end(began, stream.ended.result(), self._deadline):
            self.count.lost.append((stream.port, f"{how}, too early"))
