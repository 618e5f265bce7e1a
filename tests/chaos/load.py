"""Paced requests on kept-alive connections, in raw octets: the cost is in the sidecar, not here.

Every answer is kept with its times, so that a test can say afterwards what had to hold when.
"""

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field

HANG_SECONDS = 2.5
GRANTED = 200


@dataclass(frozen=True, slots=True)
class Answer:
    """One request's end. Times are the loop's, in seconds; status 0 is no whole answer."""

    subject: str
    sent: float
    done: float
    status: int
    retry_after: bool = False
    problem: str = ""


@dataclass
class Load:
    """Sends ``per_second`` requests for each subject on ``connections`` of each, until stopped.

    ``pid`` is the process that is asked.
    """

    address: tuple[str, int]
    tokens: dict[str, str]
    per_second: float = 200.0
    connections: int = 4
    pid: int = 0
    answers: list[Answer] = field(default_factory=list)
    is_stopped: bool = False

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            for subject in self.tokens:
                for number in range(self.connections):
                    tasks.create_task(self._keep_asking(subject, number))

    def of(self, subject: str, since: float = 0.0) -> Iterable[Answer]:
        return (each for each in self.answers if each.subject == subject and each.sent >= since)

    async def _keep_asking(self, subject: str, number: int) -> None:
        loop = asyncio.get_running_loop()
        pause = self.connections / self.per_second
        turn = loop.time() + pause * number / self.connections
        connection = _Connection(self.address)
        try:
            while not self.is_stopped:
                await asyncio.sleep(max(0.0, turn - loop.time()))
                turn = max(turn + pause, loop.time())
                request = head(self.tokens[subject])  # it may have another one by now
                self.answers.append(await connection.ask(subject, request, loop.time))
        finally:
            connection.close()


def head(token: str, path: str = "/api/userinfo") -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: chaos\r\nAuthorization: Bearer {token}\r\n\r\n".encode()


class _Connection:
    def __init__(self, address: tuple[str, int]) -> None:
        self._address = address
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def ask(self, subject: str, request: bytes, time: Callable[[], float]) -> Answer:
        sent = time()
        try:
            async with asyncio.timeout(HANG_SECONDS):
                status, retry_after = await self._talk(request)
        except (OSError, EOFError, TimeoutError, ValueError) as problem:
            self.close()
            return Answer(subject, sent, time(), 0, problem=type(problem).__name__)
        return Answer(subject, sent, time(), status, retry_after)

    def close(self) -> None:
        if self._writer is not None:
            with suppress(OSError):
                self._writer.close()
        self._reader = self._writer = None

    async def _talk(self, request: bytes) -> tuple[int, bool]:
        if self._reader is None or self._writer is None:
            self._reader, self._writer = await asyncio.open_connection(*self._address)
        self._writer.write(request)
        answer = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        length = int(answer.partition(b"content-length:")[2].split(b"\r\n", 1)[0])
        await self._reader.readexactly(length)
        if b"connection: close" in answer:
            self.close()
        return int(answer.split(b" ", 2)[1]), b"\r\nretry-after:" in answer


@dataclass
class OpenStream:
    """An event stream that is read until it ends. ``ended`` is the loop's time, or None."""

    started: asyncio.Event = field(default_factory=asyncio.Event)
    ended: float | None = None
    looks_complete: bool = False

    async def read(self, address: tuple[str, int], token: str) -> None:
        reader, writer = await asyncio.open_connection(*address)
        writer.write(head(token, "/api/sessions/1/stream"))
        got = b""
        with suppress(OSError):
            while data := await reader.read(65536):
                got = got[-16:] + data
                self.started.set()
        self.ended = asyncio.get_running_loop().time()
        self.looks_complete = got.endswith(b"0\r\n\r\n")
        writer.close()
