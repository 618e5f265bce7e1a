"""Writing down who was used: in batches, kept through outages, and to the end within a bound."""

import asyncio
from collections.abc import Mapping
from typing import Self

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from sidecar.core.last_use import LastUse
from sidecar.core.subject import SubjectKey
from sidecar.observability.last_use_writer import LastUseMetrics, LastUseWriter, WritePolicy
from sidecar.observability.recent_use import RecentUse
from sidecar.ports import StatusUnavailable
from tests.fakes.clock import FakeClock
from tests.fakes.waiting import until
from tests.observability.test_recent_use import ALICE, BOB, use

EVE = SubjectKey("lab", "eve")


class Shelf:
    """Keeps what is added, unless it is told to fail, or to hang."""

    def __init__(self) -> None:
        self.added: list[tuple[str, Mapping[SubjectKey, LastUse], float]] = []
        self.failure: Exception | None = None
        self.tries = 0
        self.fails_at = 0
        self.hanging: asyncio.Event | None = None
        self.swallows = False

    async def add(self, realm: str, used: Mapping[SubjectKey, LastUse], now: float) -> None:
        self.tries += 1
        if self.hanging is not None:
            await self._hang(self.hanging)
        if self.failure is not None:
            raise self.failure
        if self.tries == self.fails_at:
            raise StatusUnavailable("Redis was away for a moment")
        self.added.append((realm, dict(used), now))

    async def _hang(self, until_set: asyncio.Event) -> None:
        try:
            await until_set.wait()
        except asyncio.CancelledError:
            if self.swallows:
                raise StatusUnavailable("disconnected") from None
            raise

    def uses(self) -> dict[SubjectKey, int]:
        found: dict[SubjectKey, int] = {}
        for _, used, _ in self.added:
            for key, each in used.items():
                found[key] = found.get(key, 0) + each.uses
        return found


class Desk:
    """A writer among fakes; its time passes when it is told to."""

    def __init__(self, max_accounts: int = 1000) -> None:
        self.clock = FakeClock(100.0)
        self.recent = RecentUse(self.clock, max_accounts)
        self.shelf = Shelf()
        self.registry = CollectorRegistry()
        self.rounds = 0
        self._next: asyncio.Queue[None] = asyncio.Queue()
        self.slept: list[float] = []
        self.writer = LastUseWriter(
            self.recent,
            self.shelf,
            WritePolicy(frozenset({"corp"}), 60.0, last_seconds=0.05),
            LastUseMetrics(self.registry),
            self.clock,
            sleep=self._sleep,
        )

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.rounds += 1
        await self._next.get()

    async def write(self) -> None:
        """Let the next write happen, and wait for its end."""
        done = self.rounds
        self._next.put_nowait(None)
        await until(lambda: self.rounds > done)

    def count(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(f"sidecar_last_use_{name}_total", labels)

    async def __aenter__(self) -> Self:
        self._task = asyncio.get_running_loop().create_task(self.writer.run())
        await until(lambda: self.rounds)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await self._task


async def test_what_was_used_is_written_now_and_then() -> None:
    async with Desk() as desk:
        use(desk.recent, ALICE, ALICE, BOB)
        await desk.write()

        assert desk.shelf.added[-1] == (
            "corp",
            {ALICE: LastUse(100.0, 2), BOB: LastUse(100.0, 1)},
            100.0,
        )
        assert set(desk.slept) == {60.0}
        # One at the start, two now: that the realm is recorded, and who was used.
        assert (desk.count("writes", outcome="written"), desk.count("lost")) == (3, 0)


async def test_the_recording_begins_at_the_start_though_nobody_was_used() -> None:
    async with Desk() as desk:
        assert desk.shelf.added == [("corp", {}, 100.0)]


async def test_many_accounts_are_written_in_batches() -> None:
    async with Desk() as desk:
        keys = [SubjectKey("corp", str(number)) for number in range(501)]
        use(desk.recent, *keys)
        await desk.write()

        assert desk.shelf.uses() == dict.fromkeys(keys, 1)
        assert max(len(used) for _, used, _ in desk.shelf.added) <= 25


async def test_an_outage_costs_no_use_and_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    async with Desk() as desk:
        desk.shelf.failure = StatusUnavailable("Redis is away")
        use(desk.recent, ALICE)
        for _ in range(3):
            await desk.write()
            use(desk.recent, ALICE, BOB)
        assert desk.shelf.uses() == {}
        assert desk.count("writes", outcome="failed") == 3

        desk.shelf.failure = None
        await desk.write()

        assert desk.shelf.uses() == {ALICE: 4, BOB: 3}
        assert desk.count("lost") == 0
    assert caplog.text.count("Redis is away") == 1
    assert caplog.text.count("is written again") == 1


async def test_what_is_kept_through_an_outage_is_bounded() -> None:
    async with Desk(max_accounts=1) as desk:
        desk.shelf.failure = StatusUnavailable("Redis is away")
        use(desk.recent, ALICE, BOB, BOB)
        await desk.write()

        assert desk.count("lost") == 2


async def test_a_batch_that_fails_in_the_middle_makes_no_other_count_twice() -> None:
    async with Desk() as desk:
        keys = [SubjectKey("corp", str(number)) for number in range(600)]
        use(desk.recent, *keys)
        desk.shelf.fails_at = 9
        await desk.write()
        assert 0 < len(desk.shelf.uses()) < 600
        use(desk.recent, *keys[:5])
        await desk.write()

        assert desk.shelf.uses() == {**dict.fromkeys(keys, 1), **dict.fromkeys(keys[:5], 2)}


async def test_a_defect_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async with Desk() as desk:
        desk.shelf.failure = RuntimeError("a defect")
        use(desk.recent, ALICE)
        await desk.write()
        desk.shelf.failure = None
        await desk.write()

        assert desk.shelf.uses() == {ALICE: 1}
    assert "a defect" in caplog.text


async def test_at_the_end_the_rest_is_written() -> None:
    async with Desk() as desk:
        use(desk.recent, ALICE)

    assert desk.shelf.uses() == {ALICE: 1}
    assert desk.count("lost") == 0


@pytest.mark.parametrize("hangs", [True, False])
async def test_the_end_is_not_kept_waiting_for_what_cannot_be_written(
    caplog: pytest.LogCaptureFixture, *, hangs: bool
) -> None:
    async with Desk() as desk:
        use(desk.recent, ALICE, ALICE, BOB)
        desk.shelf.failure = StatusUnavailable("Redis is away")
        desk.shelf.hanging = asyncio.Event() if hangs else None

    assert desk.count("lost") == 3
    assert "could not be written and is lost: 2" in caplog.text


async def test_an_end_in_the_middle_of_a_write_loses_nothing_and_counts_nothing_twice() -> None:
    async with Desk() as desk:
        use(desk.recent, ALICE)
        desk.shelf.hanging = asyncio.Event()
        desk._next.put_nowait(None)
        await until(lambda: desk.shelf.tries == 2)
        desk._task.cancel()
        await asyncio.sleep(0)
        desk.shelf.hanging.set()
        with pytest.raises(asyncio.CancelledError):
            await desk._task

    assert desk.shelf.uses() == {ALICE: 1}
    assert desk.count("lost") == 0


async def test_the_end_comes_although_the_cancellation_was_swallowed() -> None:
    """A client of Redis may make one a failure of its own."""
    async with asyncio.timeout(10):
        async with Desk() as desk:
            use(desk.recent, ALICE)
            desk.shelf.hanging = asyncio.Event()
            desk.shelf.swallows = True
            desk._next.put_nowait(None)
            await until(lambda: desk.shelf.tries == 2)

    assert desk.shelf.tries == 2
    assert desk.count("lost") == 1


async def test_each_account_is_written_to_its_realm() -> None:
    async with Desk() as desk:
        desk.writer._policy = WritePolicy(frozenset({"corp", "lab"}), 60.0)
        use(desk.recent, ALICE, EVE)
        await desk.write()

        written = {realm: set(used) for realm, used, _ in desk.shelf.added if used}
        assert written == {"corp": {ALICE}, "lab": {EVE}}


STEPS = st.lists(
    st.tuples(st.sampled_from(["use", "write", "fail"]), st.integers(1, 60)), max_size=12
)


@settings(deadline=None)
@given(STEPS)
def test_no_use_is_lost_or_counted_twice_whatever_fails(steps: list[tuple[str, int]]) -> None:
    """But for those that the bound or the end leaves out: these are counted as lost."""

    async def live() -> None:
        used = 0
        desk = Desk(max_accounts=40)
        async with desk:
            for act, number in steps:
                if act == "use":
                    used += number
                    use(desk.recent, *(SubjectKey("corp", str(each)) for each in range(number)))
                else:
                    desk.shelf.failure = StatusUnavailable("away") if act == "fail" else None
                    await desk.write()
        lost = desk.count("lost")
        assert lost is not None
        assert sum(desk.shelf.uses().values()) + lost == used

    asyncio.run(live())
