"""How far the store was seen, kept through restarts; and what is not taken for it."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from sidecar.adapters.mark_file import MarkFile
from sidecar.adapters.store_revision import Mark, make_epoch
from sidecar.app.running import running
from tests.fakes.waiting import until, until_async

URL, PREFIX = "redis://user:secret@127.0.0.1:6379/0", "sidecar:"
EPOCH = make_epoch(1000.0, "a")


class Pauses:
    """A sleep that ends when it is told to."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self._goes_on = asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        self.seconds.append(seconds)
        await self._goes_on.wait()
        self._goes_on.clear()

    async def begun(self) -> None:
        await until(lambda: bool(self.seconds))

    def end(self) -> None:
        self._goes_on.set()


def marks(directory: Path, url: str = URL, prefix: str = PREFIX) -> MarkFile:
    return MarkFile(directory, url, prefix)


@asynccontextmanager
async def keeping(directory: Path) -> AsyncIterator[tuple[MarkFile, Pauses]]:
    pauses = Pauses()
    kept = MarkFile(directory, URL, PREFIX, pauses.sleep)
    async with running(kept.run):
        yield kept, pauses


async def keep(directory: Path, *all_marks: Mark) -> None:
    for mark in all_marks:
        async with keeping(directory) as (kept, pauses):
            kept.note(mark)
            await pauses.begun()


async def is_kept(directory: Path, mark: Mark) -> bool:
    return await marks(directory).load() == mark


def only_file(directory: Path) -> Path:
    (file,) = directory.iterdir()
    return file


@pytest.mark.parametrize("mark", [Mark(7), Mark(7, EPOCH), Mark(None, EPOCH), Mark(7, "by hand")])
async def test_what_is_kept_comes_back_in_the_next_life(tmp_path: Path, mark: Mark) -> None:
    await keep(tmp_path, mark)

    assert await marks(tmp_path).load() == mark
    assert only_file(tmp_path).stat().st_mode & 0o077 == 0
    assert "secret" not in only_file(tmp_path).read_text()


async def test_the_highest_of_several_workers_wins(tmp_path: Path) -> None:
    await keep(tmp_path, Mark(8), Mark(7))
    assert await marks(tmp_path).load() == Mark(8)

    await keep(tmp_path, Mark(2, EPOCH), Mark(9))
    assert await marks(tmp_path).load() == Mark(2, EPOCH)


async def test_workers_that_write_at_once_lose_nothing(tmp_path: Path) -> None:
    workers = [marks(tmp_path) for _ in range(8)]
    async with running(*(worker.run for worker in workers)):
        for revision, worker in zip(range(7, -1, -1), workers, strict=True):
            worker.note(Mark(revision))
        await until_async(lambda: is_kept(tmp_path, Mark(7)))

    assert await marks(tmp_path).load() == Mark(7)


@pytest.mark.parametrize(
    ("url", "prefix"),
    [
        ("redis://127.0.0.1:6380/0", PREFIX),
        ("redis://127.0.0.1:6379/1", PREFIX),
        ("redis://other:6379/0", PREFIX),
        (URL, "other:"),
    ],
)
async def test_another_store_has_a_mark_of_its_own(
    tmp_path: Path, url: str, prefix: str, caplog: pytest.LogCaptureFixture
) -> None:
    await keep(tmp_path, Mark(7))
    other = marks(tmp_path, url, prefix)

    with caplog.at_level(logging.INFO):
        assert await other.load() == Mark()
    assert "no revision of the account store is remembered" in caplog.text

    other._file.write_bytes(only_file(tmp_path).read_bytes())
    assert await other.load() == Mark()
    assert "is another store's" in caplog.text


async def test_a_new_password_makes_no_other_store(tmp_path: Path) -> None:
    await keep(tmp_path, Mark(7))

    for user in ("", "user:n@w@", "other:secret@"):
        assert await marks(tmp_path, f"redis://{user}127.0.0.1:6379/0").load() == Mark(7)


@pytest.mark.parametrize(
    "change",
    [
        {"revision": "7"},
        {"revision": True},
        {"revision": 7.0},
        {"epoch": None},
        {"epoch": 7},
        {"store": None},
    ],
)
async def test_a_file_that_says_something_else_is_not_believed_and_then_replaced(
    tmp_path: Path, change: dict[str, object], caplog: pytest.LogCaptureFixture
) -> None:
    await keep(tmp_path, Mark(7))
    file = only_file(tmp_path)
    file.write_text(json.dumps({**json.loads(file.read_text()), **change}))
    kept = marks(tmp_path)

    assert await kept.load() == Mark()
    assert await kept.load() == Mark()
    assert caplog.text.count("cannot be read") == 1

    await keep(tmp_path, Mark(3))
    assert await kept.load() == Mark(3)


async def test_half_a_file_is_none(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    await keep(tmp_path, Mark(7))
    only_file(tmp_path).write_bytes(only_file(tmp_path).read_bytes()[:20])

    assert await marks(tmp_path).load() == Mark()
    assert "cannot be read" in caplog.text


async def test_marks_that_come_fast_are_one_write_a_second(tmp_path: Path) -> None:
    async with keeping(tmp_path) as (kept, pauses):
        kept.note(Mark(1))
        await until(lambda: pauses.seconds == [1.0])
        kept.note(Mark(2))
        kept.note(Mark(3))
        kept.note(Mark(3))
        assert await kept.load() == Mark(1)

        pauses.end()
        await until(lambda: pauses.seconds == [1.0, 1.0])
        assert await kept.load() == Mark(3)


async def test_what_was_noted_last_is_kept_at_the_end(tmp_path: Path) -> None:
    async with keeping(tmp_path) as (kept, pauses):
        kept.note(Mark(1))
        await pauses.begun()
        kept.note(Mark(2))

    assert await marks(tmp_path).load() == Mark(2)


async def test_a_directory_that_cannot_be_written_is_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await keep(tmp_path / "nowhere", Mark(7))

    assert "cannot be kept" in caplog.text


async def test_a_write_that_fails_leaves_nothing_behind(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    marks(tmp_path)._file.mkdir()

    await keep(tmp_path, Mark(7))

    assert only_file(tmp_path).is_dir()
    assert "cannot be kept" in caplog.text
