"""The desks of several workers, asked by their parent through a Unix socket of each.

The sockets are in a directory that only our own user can enter; who is in there may ask.
A worker that has died leaves its socket behind, and nobody listens: it has no streams. One that is
there and does not answer is named, so that nobody takes an unknown for a nothing.
"""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict
from heapq import nlargest, nsmallest
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from sidecar.admin.desk import Next, OwnDesk, Row, Seen, WereCut
from sidecar.core.subject import SubjectKey
from sidecar.observability.recent_decisions import Wanted

_ANSWER_SECONDS = 2.0
_LOOK_SECONDS = 1.0
_WAITING = 1000
_CLOSE_SECONDS = 0.1
_LONGEST_LINE = 2**20
_BASE = "http://worker"
_NOTHING = {"streams": 0, "rate": 0.0, "seen": 0.0}


@asynccontextmanager
async def open_to_parent(desk: OwnDesk, directory: Path) -> AsyncIterator[None]:
    """Answer the parent until the block ends."""
    server = web.ServerRunner(
        web.Server(_Door(desk).answer, access_log=None), shutdown_timeout=_CLOSE_SECONDS
    )
    await server.setup()
    socket = _socket_of(directory, os.getpid())
    try:
        await web.UnixSite(server, socket).start()
        yield
    finally:
        await server.cleanup()
        socket.unlink(missing_ok=True)


class _Door:
    def __init__(self, desk: OwnDesk) -> None:
        self._desk = desk

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        asked = dict(request.query)
        limit = int(asked.pop("limit", "0"))
        match request.path:
            case "/streams":
                return web.json_response(asdict(await self._desk.streams(**asked, limit=limit)))
            case "/cut":
                return web.json_response(asdict(await self._desk.cut(SubjectKey(**asked))))
            case "/activity":
                return web.json_response(asdict(await self._desk.activity()))
            case "/decisions":
                found = await self._desk.decisions(Wanted(**asked), limit)
                return web.json_response(asdict(found))
            case _:
                return await self._follow(request, Wanted(**asked))

    async def _follow(self, request: web.BaseRequest, wanted: Wanted) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        async with self._desk.followed(wanted) as following:
            # A blank line tells that it listens, and later whether the parent still does.
            await response.write(b"\n")
            while True:
                try:
                    async with asyncio.timeout(_LOOK_SECONDS):
                        line = json.dumps(await following())
                except TimeoutError:
                    line = ""
                try:
                    await response.write(line.encode() + b"\n")
                except OSError:
                    return response


class WorkerDesks:
    """Implements ``Desk`` by asking every worker that has a socket in ``directory``.

    One that has not answered within ``answer_seconds`` is silent.
    """

    def __init__(self, directory: Path, *, answer_seconds: float = _ANSWER_SECONDS) -> None:
        self._directory = directory
        self._answer_seconds = answer_seconds

    async def streams(self, realm: str, subject: str, limit: int) -> Seen:
        asked = {"realm": realm, "subject": subject, "limit": str(limit)}
        rows, silent = await self._ask_all("/streams", asked)
        return Seen(nsmallest(limit, _rows(rows), key=lambda row: row["since"]), silent)

    async def cut(self, key: SubjectKey) -> WereCut:
        answers, silent = await self._ask_all("/cut", key._asdict())
        return WereCut(sum(each["streams"] for each in answers), silent)

    async def activity(self) -> Seen:
        answers, silent = await self._ask_all("/activity", {})
        summed: dict[tuple[str, str], dict[str, Any]] = {}
        for row in _rows(answers):
            known = summed.setdefault((row["realm"], row["subject"]), {**row, **_NOTHING})
            known["streams"] += row["streams"]
            known["rate"] += row["rate"]
            known["seen"] = max(known["seen"], row["seen"])
        return Seen(list(summed.values()), silent)

    async def decisions(self, wanted: Wanted, limit: int) -> Seen:
        answers, silent = await self._ask_all("/decisions", {**asdict(wanted), "limit": str(limit)})
        return Seen(nlargest(limit, _rows(answers), key=lambda row: row["ts"]), silent)

    @asynccontextmanager
    async def followed(self, wanted: Wanted) -> AsyncIterator[Next]:
        heard: asyncio.Queue[Row] = asyncio.Queue(_WAITING)
        async with asyncio.TaskGroup() as tasks:
            listening = tasks.create_task(self._listen_to_all(wanted, heard))
            try:
                yield heard.get
            finally:
                listening.cancel()

    async def _listen_to_all(self, wanted: Wanted, heard: asyncio.Queue[Row]) -> None:
        """Listen to each worker, also to those that come later."""
        async with asyncio.TaskGroup() as tasks:
            listening: dict[int, asyncio.Task[None]] = {}
            while True:
                for worker in self._workers():
                    if worker not in listening or listening[worker].done():
                        listening[worker] = tasks.create_task(self._listen(worker, wanted, heard))
                await asyncio.sleep(_LOOK_SECONDS)

    async def _listen(self, worker: int, wanted: Wanted, heard: asyncio.Queue[Row]) -> None:
        try:
            async with (
                self._session(worker, None) as session,
                session.get(f"{_BASE}/follow", params=asdict(wanted)) as response,
            ):
                while line := await response.content.readline():
                    if line.strip():
                        await heard.put(json.loads(line))
        except (aiohttp.ClientError, OSError, ValueError):
            return

    async def _ask_all(
        self, path: str, asked: Mapping[str, str]
    ) -> tuple[list[dict[str, Any]], list[int]]:
        workers = self._workers()
        answers = await asyncio.gather(*(self._ask(each, path, asked) for each in workers))
        silent = [worker for worker, answer in zip(workers, answers, strict=True) if answer is None]
        return [answer for answer in answers if answer], silent

    async def _ask(self, worker: int, path: str, asked: Mapping[str, str]) -> dict[str, Any] | None:
        """Return what a worker says: nothing if it has died, None if it is silent."""
        try:
            async with (
                self._session(worker, self._answer_seconds) as session,
                session.get(_BASE + path, params=asked) as response,
            ):
                found: dict[str, Any] = await response.json()
                return found
        except aiohttp.ClientConnectorError as error:
            is_dead = isinstance(error.os_error, ConnectionRefusedError | FileNotFoundError)
            return {} if is_dead else None
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
            return None

    def _session(self, worker: int, seconds: float | None) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=aiohttp.UnixConnector(str(_socket_of(self._directory, worker))),
            timeout=aiohttp.ClientTimeout(total=seconds),
            read_bufsize=_LONGEST_LINE,
        )

    def _workers(self) -> list[int]:
        return sorted(int(each.stem) for each in _sockets(self._directory))


def _rows(answers: Iterable[Mapping[str, Any]]) -> Iterable[Row]:
    return (row for answer in answers for row in answer["rows"])


def _socket_of(directory: Path, pid: int) -> Path:
    # A short name: the path of a socket has room for 104 octets at least, and no more on macOS.
    return directory / f"{pid}.sock"


def _sockets(directory: Path) -> Iterable[Path]:
    return directory.glob("*.sock")
