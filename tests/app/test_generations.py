"""One generation after another: the new serves before the old ends, or the old goes on."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from sidecar.app.administering import Endpoints
from sidecar.app.generations import Generations, NotReplaced
from sidecar.app.stopping import Stop
from sidecar.settings import Settings
from tests.app.test_parts import settings
from tests.fakes.waiting import until


class FakeGeneration:
    """Serves nobody; ready, failing and ending when the test says so."""

    endpoints = Endpoints()

    def __init__(self, *, succeeds: bool) -> None:
        self.succeeds = succeeds
        self.ready = False
        self.leaves_at_once = True
        self.may_end = asyncio.Event()
        self.fails = asyncio.Event()
        self.stop: Stop | None = None
        self.is_over = False

    def probes(self) -> Mapping[str, bool]:
        return {"ready": self.ready}

    def is_ready(self) -> bool:
        return self.ready

    def accepts(self) -> bool:
        is_relieved = self.stop is not None and self.stop.is_relieved
        return not (is_relieved and self.leaves_at_once)

    async def serve(self, stop: Stop) -> None:
        self.stop = stop
        async with asyncio.TaskGroup() as tasks:
            ends = [
                tasks.create_task(event.wait()) for event in (stop.asked, self.fails, stop.hurried)
            ]
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            for task in ends:
                task.cancel()
        if self.fails.is_set():
            raise RuntimeError("it fails")
        if not stop.hurried.is_set():
            await self.may_end.wait()


class House:
    """Generations over fakes, in the order in which they were opened."""

    def __init__(self, directory: Path, tasks: asyncio.TaskGroup, patience: float) -> None:
        self.settings = settings(directory)
        self.stop = Stop()
        self.opened: list[FakeGeneration] = []
        self.problem: Exception | None = None
        self.hangs = False
        self.generations_are_ready = False
        self.generations = Generations(self._open, tasks, self.stop, patience)

    @asynccontextmanager
    async def _open(self, _: Settings, succeeds: bool) -> AsyncIterator[FakeGeneration]:  # noqa: FBT001
        if self.problem is not None:
            raise self.problem
        if self.hangs:
            await asyncio.Event().wait()
        generation = FakeGeneration(succeeds=succeeds)
        generation.ready = self.generations_are_ready
        self.opened.append(generation)
        try:
            yield generation
        finally:
            generation.is_over = True

    async def replace_in(self, tasks: asyncio.TaskGroup) -> asyncio.Task[None]:
        """Replace in the background, up to where the new one serves."""
        count = len(self.opened)
        task = tasks.create_task(self.generations.replace(self.settings))
        await until(lambda: len(self.opened) > count and self.opened[-1].stop is not None)
        return task

    async def end(self) -> None:
        for each in self.opened:
            each.may_end.set()
        self.stop.asked.set()
        for follower in self.stop.followers:
            follower.relieve()


@asynccontextmanager
async def house(directory: Path, patience: float = 30.0) -> AsyncIterator[House]:
    async with asyncio.TaskGroup() as tasks:
        found = House(directory, tasks, patience)
        yield found
        await found.end()


async def test_the_old_one_goes_on_until_the_new_one_is_ready(tmp_path: Path) -> None:
    async with house(tmp_path) as found, asyncio.TaskGroup() as tasks:
        assert found.generations.probes() == {"started": False}
        await found.generations.begin(found.settings)
        old = found.opened[0]
        assert not old.succeeds
        replacing = await found.replace_in(tasks)
        new = found.opened[1]
        assert new.succeeds
        assert old.stop is not None
        assert not old.stop.asked.is_set()
        assert found.generations.probes() == {"ready": False, "staying": True}

        new.ready = True
        await replacing

        assert old.stop.is_relieved
        assert not old.stop.hurried.is_set()
        assert not old.is_over
        assert found.generations.probes() == {"ready": True, "staying": True}
        assert found.generations.endpoints == Endpoints()


async def test_new_settings_are_in_force_once_nobody_comes_to_the_old_ones(tmp_path: Path) -> None:
    async with house(tmp_path) as found, asyncio.TaskGroup() as tasks:
        await found.generations.begin(found.settings)
        old = found.opened[0]
        old.leaves_at_once = False
        replacing = await found.replace_in(tasks)
        found.opened[1].ready = True
        await until(lambda: old.stop is not None and old.stop.is_relieved)
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(replacing), 0.05)
        assert not replacing.done()

        old.leaves_at_once = True
        await replacing


async def test_an_old_one_that_hangs_does_not_stop_the_reload(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with house(tmp_path, patience=0.02) as found:
        await found.generations.begin(found.settings)
        found.opened[0].leaves_at_once = False
        found.generations_are_ready = True
        await found.generations.replace(found.settings)

        assert found.generations.probes() == {"ready": True, "staying": True}
        assert "may still serve some" in caplog.text


async def test_one_that_is_not_ready_in_time_is_given_up(tmp_path: Path) -> None:
    async with house(tmp_path, patience=0.02) as found:
        await found.generations.begin(found.settings)
        with pytest.raises(NotReplaced, match=r"not ready within 0\.02 s"):
            await found.generations.replace(found.settings)

        old, new = found.opened
        assert new.is_over
        assert old.stop is not None
        assert not old.stop.asked.is_set()


async def test_one_that_does_not_start_is_given_up(tmp_path: Path) -> None:
    async with house(tmp_path) as found:
        await found.generations.begin(found.settings)
        found.problem = ValueError("no such key")
        with pytest.raises(NotReplaced, match="no such key"):
            await found.generations.replace(found.settings)

        assert not found.opened[0].is_over


async def test_one_that_does_not_come_to_its_start_is_given_up(tmp_path: Path) -> None:
    async with house(tmp_path, patience=0.02) as found:
        await found.generations.begin(found.settings)
        found.hangs = True
        with pytest.raises(NotReplaced, match="not ready within"):
            await found.generations.replace(found.settings)

        assert not found.opened[0].is_over


async def test_one_that_does_not_come_to_its_start_keeps_nobody_from_ending(tmp_path: Path) -> None:
    async with asyncio.timeout(5), house(tmp_path) as found, asyncio.TaskGroup() as tasks:
        await found.generations.begin(found.settings)
        found.hangs = True
        replacing = tasks.create_task(found.generations.replace(found.settings))
        await until(lambda: len(found.stop.followers) == 2)

        found.stop.hear(15)
        replacing.cancel()


async def test_one_that_fails_before_it_is_ready_is_given_up(tmp_path: Path) -> None:
    async with house(tmp_path) as found:
        await found.generations.begin(found.settings)
        with pytest.RaisesGroup(pytest.RaisesExc(NotReplaced, match="ended before")):
            async with asyncio.TaskGroup() as tasks:
                assert not (await found.replace_in(tasks)).done()
                found.opened[1].fails.set()

        assert not found.opened[0].is_over


async def test_a_failure_of_the_one_in_force_ends_all(tmp_path: Path) -> None:
    with pytest.RaisesGroup(pytest.RaisesExc(RuntimeError, match="it fails")):
        async with house(tmp_path) as found:
            await found.generations.begin(found.settings)
            await until(lambda: found.opened[0].stop)
            found.opened[0].fails.set()
            await asyncio.Event().wait()


async def test_a_first_one_that_does_not_start_says_so(tmp_path: Path) -> None:
    async with house(tmp_path) as found:
        found.problem = OSError("taken")
        with pytest.raises(OSError, match="taken"):
            await found.generations.begin(found.settings)


async def test_at_most_two_old_ones_are_left_behind(tmp_path: Path) -> None:
    async with house(tmp_path) as found, asyncio.TaskGroup() as tasks:
        await found.generations.begin(found.settings)
        for _ in range(2):
            replacing = await found.replace_in(tasks)
            found.opened[-1].ready = True
            await replacing
        third = tasks.create_task(found.generations.replace(found.settings))
        with suppress(TimeoutError):
            await until(lambda: len(found.opened) > 3, 0.05)
        assert len(found.opened) == 3

        found.opened[0].may_end.set()
        await until(lambda: len(found.opened) == 4)
        found.opened[3].ready = True
        await third


async def test_all_of_them_hear_that_they_are_to_end(tmp_path: Path) -> None:
    async with house(tmp_path) as found:
        await found.generations.begin(found.settings)
        await until(lambda: found.opened[0].stop)
        found.stop.hear(15)

        assert found.opened[0].stop is not None
        assert found.opened[0].stop.asked.is_set()
        assert found.generations.probes() == {"ready": False, "staying": False}
        with pytest.raises(NotReplaced, match="is ending"):
            await found.generations.replace(found.settings)
