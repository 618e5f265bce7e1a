"""A Redis that comes back with less than was seen in it, on a real server (R3, R4)."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from sidecar.adapters.account_keys import AccountKeys
from sidecar.adapters.redis_accounts import RedisAccountView
from sidecar.adapters.redis_store import open_redis_store
from sidecar.adapters.store_revision import make_epoch
from sidecar.adapters.view_policy import ViewPolicy
from sidecar.core.subject import Account, AccountStatus, SubjectKey
from sidecar.demo.redis_server import RedisServer
from sidecar.ports import StatusUnavailable, ViewEvent
from tests.adapters.test_redis_accounts import Seen, running_view
from tests.fakes.waiting import until

ALICE = SubjectKey("default", "alice")
ACTIVE = Account("1", "alice", "Alice", ("devops",), AccountStatus.ACTIVE)
INACTIVE = replace(ACTIVE, status=AccountStatus.INACTIVE)
POLICY = ViewPolicy(max_staleness=2.0, heartbeat=0.02, timeout=2.0, read_timeout=2.0)


async def write(redis: RedisServer, account: Account, *, expected: Account | None) -> None:
    async with open_redis_store(redis.url, {}, AccountKeys(), 5.0) as store:
        assert await store.put(ALICE, account, expected=expected)


async def confirm(redis: RedisServer, moment: float = 1000.0) -> None:
    async with open_redis_store(redis.url, {}, AccountKeys(), 5.0) as store:
        await store.confirm(make_epoch(moment, "x"))


@dataclass
class Sight:
    view: RedisAccountView
    seen: Seen

    def knows_of_roll_back(self) -> bool:
        return ViewEvent.ROLLED_BACK in self.seen.observer.view_events


@asynccontextmanager
async def sight(redis: RedisServer, policy: ViewPolicy = POLICY) -> AsyncIterator[Sight]:
    seen = Seen()
    async with running_view(redis.url, policy, seen) as view:
        await until(view.is_live)
        yield Sight(view, seen)


async def stays_shut(view: RedisAccountView) -> None:
    """Several heartbeats on, nothing is granted."""
    for _ in range(20):
        await asyncio.sleep(POLICY.heartbeat / 2)
        assert not view.is_live()
        assert view.look_up(ALICE, None) is None
        with pytest.raises(StatusUnavailable):
            await view.read(ALICE, None)


async def test_an_old_dump_lets_nobody_in_until_it_is_confirmed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """R4: disabled after the last save, active again in what comes back."""
    async with RedisServer(directory=tmp_path) as redis:
        await write(redis, ACTIVE, expected=None)
        await redis.command("SAVE")
        await write(redis, INACTIVE, expected=ACTIVE)
        async with sight(redis) as saw:
            standing = await saw.view.read(ALICE, None)
            assert standing.account == INACTIVE

            await redis.kill()
            await redis.restart()
            await until(saw.knows_of_roll_back)
            await stays_shut(saw.view)

            error = [each for each in caplog.records if each.levelno == logging.ERROR]
            assert len(error) == 1
            assert "revision 1 after 2" in error[0].message
            assert "sidecar store confirm" in error[0].message

            await confirm(redis)
            await until(saw.view.is_live)
            assert (await saw.view.read(ALICE, None)).account == ACTIVE


async def test_a_dump_from_before_the_last_confirmation_is_old_too(tmp_path: Path) -> None:
    async with RedisServer(directory=tmp_path) as redis:
        await confirm(redis, 1000.0)
        await write(redis, ACTIVE, expected=None)
        await redis.command("SAVE")
        await confirm(redis, 2000.0)
        async with sight(redis) as saw:
            await redis.kill()
            await redis.restart()
            await until(saw.knows_of_roll_back)
            await stays_shut(saw.view)


@pytest.mark.parametrize("command", ["FLUSHALL", "FLUSHDB"])
async def test_a_flush_lets_nobody_in_until_it_is_confirmed(
    redis: RedisServer, command: str
) -> None:
    await write(redis, ACTIVE, expected=None)
    async with sight(redis) as saw:
        await saw.view.read(ALICE, None)

        await redis.command(command)
        await until(saw.knows_of_roll_back)
        # Whatever is written now, the rest is missing still.
        await write(redis, ACTIVE, expected=None)
        await write(redis, INACTIVE, expected=ACTIVE)
        await stays_shut(saw.view)

        await confirm(redis)
        await until(saw.view.is_live)
        assert (await saw.view.read(ALICE, None)).account == INACTIVE


async def test_a_restart_without_data_lets_nobody_in_until_it_is_confirmed(
    redis: RedisServer,
) -> None:
    """R3."""
    await write(redis, ACTIVE, expected=None)
    async with sight(redis) as saw:
        await redis.kill()
        await redis.restart()
        await until(saw.knows_of_roll_back)
        await stays_shut(saw.view)

        await confirm(redis)
        await until(saw.view.is_live)
        assert (await saw.view.read(ALICE, None)).account is None


async def test_a_restart_with_all_data_needs_nobody(tmp_path: Path) -> None:
    async with RedisServer(directory=tmp_path) as redis:
        await write(redis, ACTIVE, expected=None)
        async with sight(redis) as saw:
            await redis.command("SAVE")
            await redis.kill()
            await redis.restart()
            await until(lambda: saw.seen.observer.view_events.count(ViewEvent.CONNECTED) > 1)
            await until(saw.view.is_live)

            assert (await saw.view.read(ALICE, None)).account == ACTIVE
            assert not saw.knows_of_roll_back()


async def test_who_accepts_it_goes_on_with_a_warning(
    redis: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    await write(redis, ACTIVE, expected=None)
    async with sight(redis, replace(POLICY, accept_rolled_back=True)) as saw:
        await redis.command("FLUSHALL")
        await until(saw.knows_of_roll_back)
        await until(saw.view.is_live)

        assert (await saw.view.read(ALICE, None)).account is None
    assert any("rolled_back says to accept" in each.message for each in caplog.records)


async def test_a_store_that_only_others_write_to_is_never_rolled_back(redis: RedisServer) -> None:
    await redis.command("HSET", "sidecar:account:default:alice", "status", "active")
    async with sight(redis) as saw:
        await saw.view.read(ALICE, None)

        await redis.command("FLUSHALL")
        await until(lambda: saw.view.look_up(ALICE, None) is None)

        assert (await saw.view.read(ALICE, None)).account is None
        assert saw.view.is_live()
        assert not saw.knows_of_roll_back()


async def test_a_revision_that_is_no_number_says_nothing_so_nobody_is_in(
    redis: RedisServer,
) -> None:
    await redis.command("SET", "sidecar:revision", "many")
    seen = Seen()
    async with running_view(redis.url, POLICY, seen) as view:
        await until(lambda: seen.observer.view_events.count(ViewEvent.LOST) > 1)

        assert not view.is_live()


async def test_a_store_that_is_laid_out_otherwise_lets_nobody_in_until_it_is_as_before(
    redis: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    """D4: a later sidecar shares the store and has laid it out anew."""
    await write(redis, ACTIVE, expected=None)
    async with sight(redis) as now:
        await now.view.read(ALICE, None)
        with caplog.at_level(logging.ERROR):
            await redis.command("SET", "sidecar:schema", "2")
            await until(lambda: not now.view.is_live())
        await stays_shut(now.view)
        with pytest.raises(StatusUnavailable, match="schema"):
            await now.view.read(ALICE, None)
        assert "does not know" in caplog.text

        await redis.command("SET", "sidecar:schema", "1")
        await until(now.view.is_live)


async def test_a_sidecar_that_starts_on_such_a_store_is_never_live(redis: RedisServer) -> None:
    await redis.command("SET", "sidecar:schema", "2")
    async with running_view(redis.url, POLICY) as view:
        await stays_shut(view)
