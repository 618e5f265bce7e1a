"""What a SIGHUP does with settings, good and bad."""

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest

from sidecar.adapters.service_manager import ServiceManager
from sidecar.app.generations import NotReplaced
from sidecar.app.reloading import Reloader, read_anew
from sidecar.observability.upkeep import Upkeep
from sidecar.settings import Problem, Settings, SettingsProblems
from tests.app.test_parts import settings
from tests.app.test_tls import Certificates
from tests.fakes.clock import FakeClock
from tests.fakes.waiting import until
from tests.observability.test_upkeep import seen


class Desk:
    """Settings that can be exchanged, and what became of them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.found: Settings | SettingsProblems = settings(directory)
        self.taken: list[Settings] = []
        self.upkeep = Upkeep(1.0)
        self.is_taken = True
        nobody = ServiceManager({})
        self.reloader = Reloader(
            self.load, settings(directory), self.replace, self.upkeep, FakeClock(9.0), nobody
        )

    def write(self, **sections: Any) -> None:
        self.found = settings(self.directory, **sections)

    def load(self) -> Settings:
        if isinstance(self.found, SettingsProblems):
            raise self.found
        return self.found

    async def replace(self, new: Settings) -> None:
        if not self.is_taken:
            raise NotReplaced("it was not ready within 30 s")
        self.taken.append(new)


@pytest.fixture
def desk(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Desk:
    caplog.set_level(logging.INFO)
    return Desk(tmp_path)


def problems(desk: Desk, before: Settings) -> list[str]:
    with pytest.raises(SettingsProblems) as raised:
        read_anew(desk.load, before)
    return [str(problem) for problem in raised.value.problems]


async def test_good_settings_are_put_in_force(desk: Desk) -> None:
    desk.write(forward_authorization=False)
    await desk.reloader.reload()

    assert [each.forward_authorization for each in desk.taken] == [False]
    assert seen(desk.upkeep) == (1, 9, 0)


async def test_bad_ones_change_nothing_and_each_problem_is_logged(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    desk.found = SettingsProblems("f", [Problem("a", "is wrong"), Problem("b", "too")])
    await desk.reloader.reload()

    assert desk.taken == []
    assert seen(desk.upkeep) == (0, 1, 0)
    assert "settings: a: is wrong" in caplog.messages
    assert "settings: b: too" in caplog.messages
    assert "the reload is refused: the settings from before stay in force" in caplog.messages


async def test_settings_with_which_nothing_gets_ready_count_as_refused(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    desk.is_taken = False
    await desk.reloader.reload()

    assert seen(desk.upkeep) == (0, 1, 0)
    assert "settings: it was not ready within 30 s" in caplog.messages


async def test_each_hangup_is_a_reload(desk: Desk) -> None:
    heard = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(desk.reloader.run(heard))
        for times in (1, 2):
            heard.set()
            await until(lambda times=times: len(desk.taken) == times)  # type: ignore[misc]
        running.cancel()


def test_what_stays_with_the_process_cannot_change(desk: Desk, tmp_path: Path) -> None:
    before = settings(tmp_path)
    desk.write(
        listen={"host": "127.0.0.2", "port": 1},
        admin={"host": "127.0.0.2", "port": 2},
        workers=2,
    )

    assert problems(desk, before) == [
        f"{place}: cannot change in a reload; restart the sidecar for it"
        for place in ("listen.host", "listen.port", "admin.host", "admin.port", "workers")
    ]


def test_the_admin_listeners_tls_is_of_its_start_too(desk: Desk, tmp_path: Path) -> None:
    before = settings(tmp_path)
    ours = Certificates(tmp_path, "ours")
    desk.write(admin={"tls": {"certificate": str(ours.certificate), "key": str(ours.key)}})

    assert problems(desk, before) == [
        "admin.tls: cannot change in a reload; restart the sidecar for it"
    ]


def test_where_events_come_in_is_of_the_start_and_who_pushes_them_is_not(
    desk: Desk, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("a secret of some length")
    receiver = {
        "name": "idp",
        "issuer": "https://idp.example/",
        "audiences": ["https://sidecar.example"],
        "secret_file": str(secret),
    }
    before = settings(tmp_path, events={"receivers": [receiver]})
    desk.write(events={"receivers": [{**receiver, "name": "another"}]})
    assert read_anew(desk.load, before).events is not None

    desk.write(events={"port": 1, "receivers": [receiver]})
    assert problems(desk, before) == [
        "events: cannot change in a reload; restart the sidecar for it"
    ]
    desk.write()
    assert problems(desk, before) == [
        "events: cannot change in a reload; restart the sidecar for it"
    ]


def test_accounts_in_memory_would_be_forgotten(desk: Desk, tmp_path: Path) -> None:
    memory = settings(tmp_path, accounts={"url": "memory://"})

    assert "memory://" in problems(desk, memory)[0]
    desk.found = memory
    assert "memory://" in problems(desk, settings(tmp_path))[0]


def test_files_that_the_settings_name_are_checked_too(desk: Desk, tmp_path: Path) -> None:
    junk = tmp_path / "junk.pem"
    junk.write_text("junk")
    desk.write(listen={"tls": {"certificate": str(junk), "key": str(junk)}})

    assert "junk.pem" in problems(desk, settings(tmp_path))[0]
