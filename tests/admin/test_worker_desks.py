"""Workers' desks asked through their sockets: what is unknown is never taken for nothing."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from sidecar.admin.desk import OwnDesk
from sidecar.admin.worker_desks import WorkerDesks, open_to_parent
from sidecar.core.subject import SubjectKey
from sidecar.observability.recent_decisions import RecentDecisions, Wanted
from sidecar.ports import CutReason, StreamKind
from sidecar.streams import Streams
from tests.admin.office import Office
from tests.admin.test_api import granted
from tests.admin.test_decisions import EXPIRED, GRANT, REQUEST
from tests.fakes.clock import FakeClock
from tests.fakes.observer import RecordingObserver
from tests.fakes.waiting import until
from tests.fakes.world import REALM

ALICE = SubjectKey(REALM, "alice")


class Worker:
    """One worker's desk, in this process: the sockets are what is tested."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.recent = RecentDecisions(self.clock)
        self.desk = OwnDesk(self.recent, os.getpid())
        self.streams = Streams(RecordingObserver(), self.clock.now)
        self.cut: list[CutReason] = []

    def open(self, subject: str) -> None:
        self.streams.registered(granted(subject), StreamKind.WEBSOCKET, self.cut.append)

    @asynccontextmanager
    async def serving(self, directory: Path) -> AsyncIterator["Worker"]:
        with self.desk.entered(self.streams):
            async with open_to_parent(self.desk, directory):
                yield self


async def test_streams_and_decisions_come_from_the_workers_and_cuts_go_there(
    tmp_path: Path,
) -> None:
    parent = WorkerDesks(tmp_path)
    async with Worker().serving(tmp_path) as worker:
        worker.open("bob")
        worker.clock.advance(1)
        worker.open("alice")
        worker.recent.decided(REQUEST, GRANT, 0.1)
        worker.recent.decided(REQUEST, EXPIRED, 0.1)

        seen = await parent.streams("", "", 10)
        assert [row["subject"] for row in seen.rows] == ["bob", "alice"]
        assert seen.rows[0]["worker"] == os.getpid()
        assert [row["subject"] for row in (await parent.streams("", "", 1)).rows] == ["bob"]
        assert (await parent.streams("lab", "alice", 10)).rows == []

        decisions = await parent.decisions(Wanted(outcome="denied"), 10)
        assert [row["reason"] for row in decisions.rows] == ["token_expired"]

        assert (await parent.cut(ALICE)).streams == 1
        assert worker.cut == [CutReason.REVOKED]
    assert (await parent.streams("", "", 10)).rows == []
    assert not (tmp_path / f"{os.getpid()}.sock").exists()


async def test_what_subjects_do_is_summed_over_the_workers(tmp_path: Path) -> None:
    async with Worker().serving(tmp_path) as worker:
        worker.open("alice")
        worker.open("alice")
        worker.recent.decided(REQUEST, granted("bob"), 0.1)
        worker.recent.decided(REQUEST, GRANT, 0.1)
        with socket.socket(socket.AF_UNIX) as silent:
            # The same worker a second time: what it says counts twice.
            (tmp_path / "8.sock").symlink_to(tmp_path / f"{os.getpid()}.sock")
            silent.bind(str(tmp_path / "9.sock"))
            silent.listen()
            seen = await WorkerDesks(tmp_path, answer_seconds=0.5).activity()

        assert seen.silent == [9]
        assert sorted((row["subject"], row["streams"]) for row in seen.rows) == [
            ("alice", 4),
            ("bob", 0),
        ]
        (bob,) = [row for row in seen.rows if row["subject"] == "bob"]
        assert (bob["rate"], bob["seen"]) == (2 / 60, worker.clock.now())


async def test_a_worker_that_has_died_has_nothing_and_a_silent_one_is_named(
    tmp_path: Path,
) -> None:
    with socket.socket(socket.AF_UNIX) as dead, socket.socket(socket.AF_UNIX) as silent:
        dead.bind(str(tmp_path / "7.sock"))
        silent.bind(str(tmp_path / "9.sock"))
        silent.listen()
        async with Worker().serving(tmp_path) as worker:
            worker.open("alice")
            parent = WorkerDesks(tmp_path, answer_seconds=0.5)

            seen = await parent.streams("", "", 10)
            assert (len(seen.rows), seen.silent) == (1, [9])
            async with Office(desk=parent).listening() as office:
                code, said = await office.ask("POST", "/api/streams/cut", {"subject": "alice"})
                assert (code, said["message"][:12]) == (503, "1 were cut; ")
                assert [each.streams for each in office.world.observer.audits] == [1]


async def test_decisions_are_followed_also_of_workers_that_come_later(tmp_path: Path) -> None:
    async with (
        WorkerDesks(tmp_path).followed(Wanted(outcome="denied")) as following,
        Worker().serving(tmp_path) as worker,
    ):
        await until(lambda: worker.recent._followers)
        worker.recent.decided(REQUEST, GRANT, 0.1)
        worker.recent.decided(REQUEST, EXPIRED, 0.1)
        async with asyncio.timeout(10):
            row = await following()
    assert (row["reason"], row["worker"]) == ("token_expired", os.getpid())


async def test_a_parent_that_has_gone_is_not_told_any_more(tmp_path: Path) -> None:
    async with Worker().serving(tmp_path) as worker:
        async with WorkerDesks(tmp_path).followed(Wanted()):
            await until(lambda: worker.recent._followers)
        await until(lambda: not worker.recent._followers)


async def test_what_answers_nonsense_is_silent(tmp_path: Path) -> None:
    async def nonsense(_: web.BaseRequest) -> web.Response:
        return web.Response(text="no json")

    runner = web.ServerRunner(web.Server(nonsense))
    await runner.setup()
    try:
        await web.UnixSite(runner, tmp_path / "5.sock").start()
        parent = WorkerDesks(tmp_path)
        assert (await parent.streams("", "", 1)).silent == [5]
        async with parent.followed(Wanted()) as following:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await following()
    finally:
        await runner.cleanup()


async def test_the_socket_says_nothing_of_what_is_not_asked(tmp_path: Path) -> None:
    async with Worker().serving(tmp_path):
        connector = aiohttp.UnixConnector(str(tmp_path / f"{os.getpid()}.sock"))
        async with (
            aiohttp.ClientSession(connector=connector) as http,
            http.get("http://worker/streams?nonsense=1") as response,
        ):
            assert response.status == 500
