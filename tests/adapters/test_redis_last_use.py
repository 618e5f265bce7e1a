"""How accounts are used, in a real Redis-compatible server."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from redis.exceptions import NoPermissionError

from sidecar.adapters.account_keys import AccountKeys
from sidecar.adapters.redis_client import open_redis
from sidecar.adapters.redis_last_use import RedisLastUse
from sidecar.adapters.redis_store import open_redis_store
from sidecar.core.last_use import LastUse, UseRecord
from sidecar.core.subject import Account, AccountStatus, SubjectKey
from sidecar.demo.redis_server import RedisServer
from sidecar.ports import StatusUnavailable

KEYS = AccountKeys()
ALICE, BOB = SubjectKey("corp", "alice"), SubjectKey("corp", "bob")


@asynccontextmanager
async def opened(redis: RedisServer, **user: str) -> AsyncIterator[RedisLastUse]:
    async with open_redis(redis.url, user, KEYS.prefix, 5.0) as client:
        yield RedisLastUse(client, KEYS)


async def enroll(redis: RedisServer, *keys: SubjectKey) -> None:
    for key in keys:
        await redis.command("HSET", KEYS.account(key), "status", "active")


async def test_uses_add_up_and_the_latest_stays(redis: RedisServer) -> None:
    """Workers and replicas write in any order."""
    await enroll(redis, ALICE, BOB)
    async with opened(redis) as store:
        await store.add("corp", {ALICE: LastUse(200.9, 2), BOB: LastUse(50.0, 1)}, 10.0)
        await store.add("corp", {ALICE: LastUse(150.0, 3)}, 20.0)

        assert await store.read("corp", ["alice", "bob", "eve"]) == UseRecord(
            10.0, {"alice": LastUse(200.0, 5), "bob": LastUse(50.0, 1)}
        )


async def test_many_writers_at_once_lose_nothing(redis: RedisServer) -> None:
    await enroll(redis, ALICE)
    async with opened(redis) as store, asyncio.TaskGroup() as tasks:
        for moment in range(100):
            tasks.create_task(
                store.add("corp", {ALICE: LastUse(1000.0 + moment * 7 % 100, 2)}, 1.0)
            )

    async with opened(redis) as store:
        record = await store.read("corp", ["alice"])
    assert record.by_subject == {"alice": LastUse(1099.0, 200)}


async def test_recording_begins_before_anybody_was_used(redis: RedisServer) -> None:
    async with opened(redis) as store:
        assert await store.read("corp", []) == UseRecord(None, {})
        await store.add("corp", {}, 10.7)
        await store.add("corp", {}, 99.0)

        assert await store.read("corp", ["alice"]) == UseRecord(10.0, {})
        assert await store.read("lab", ["alice"]) == UseRecord(None, {})


async def test_more_subjects_than_one_batch_are_all_read(redis: RedisServer) -> None:
    keys = [SubjectKey("corp", f"s{number}") for number in range(600)]
    await enroll(redis, *keys)
    async with opened(redis) as store:
        await store.add("corp", {key: LastUse(5.0, 1) for key in keys}, 1.0)

        assert len((await store.read("corp", [key.subject for key in keys])).by_subject) == 600


async def test_what_is_no_account_is_not_recorded(redis: RedisServer) -> None:
    """It was deleted between its last use and the write of that."""
    await redis.command("HSET", KEYS.account(BOB), "status", "deleted", "not_before", "5.0")
    await redis.command("SET", KEYS.account(SubjectKey("corp", "odd")), "no hash")
    await enroll(redis, ALICE)
    used = {
        key: LastUse(5.0, 1)
        for key in (BOB, SubjectKey("corp", "odd"), SubjectKey("corp", "gone"), ALICE)
    }
    async with opened(redis) as store:
        await store.add("corp", used, 1.0)
        record = await store.read("corp", [key.subject for key in used])

    assert set(record.by_subject) == {"alice"}


async def test_a_deleted_account_leaves_no_trace_of_its_use(redis: RedisServer) -> None:
    account = Account("1", "alice", "", (), AccountStatus.ACTIVE)
    async with open_redis_store(redis.url, {}, KEYS, 5.0) as accounts, opened(redis) as store:
        await accounts.put(ALICE, account, expected=None)
        await store.add("corp", {ALICE: LastUse(5.0, 1)}, 1.0)
        await accounts.delete(ALICE)
        await store.add("corp", {ALICE: LastUse(6.0, 1)}, 1.0)

        assert (await store.read("corp", ["alice"])).by_subject == {}
        assert not await redis.command("HEXISTS", KEYS.uses("corp"), "alice")


async def test_who_may_not_forget_a_use_deletes_the_account_all_the_same(
    redis: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    account = Account("1", "alice", "", (), AccountStatus.ACTIVE)
    await redis.command("ACL", "SETUSER", "m", "on", ">hunter2", "~sidecar:*", "+@all")
    user = {"username": "m", "password": "hunter2"}
    async with open_redis_store(redis.url, user, KEYS, 5.0) as accounts:
        await accounts.put(ALICE, account, expected=None)

        assert await accounts.delete(ALICE)
        assert await accounts.get(ALICE) is None

    assert "could not be removed" in caplog.text


async def test_what_was_written_by_hand_is_read_as_far_as_it_can_be(redis: RedisServer) -> None:
    await enroll(redis, ALICE, BOB)
    await redis.command("ZADD", KEYS.last_seen("corp"), "-1", "alice", "-inf", "bob")
    await redis.command("HSET", KEYS.uses("corp"), "alice", "many", "bob", "9" * 40)
    async with opened(redis) as store:
        assert await store.read("corp", ["alice", "bob"]) == UseRecord(None, {})

        await store.add("corp", {ALICE: LastUse(5.0, 1), BOB: LastUse(5.0, 1)}, 1.0)

        record = await store.read("corp", ["alice", "bob"])
    assert record.by_subject == {"alice": LastUse(5.0, 0), "bob": LastUse(5.0, 0)}


async def test_a_key_of_ours_that_is_of_another_type_is_told(redis: RedisServer) -> None:
    await enroll(redis, ALICE)
    await redis.command("SET", KEYS.last_seen("corp"), "x")
    async with opened(redis) as store:
        with pytest.raises(StatusUnavailable, match="WRONGTYPE"):
            await store.add("corp", {ALICE: LastUse(5.0, 1)}, 1.0)


# What a sidecar that records the last use needs for it (docs/redis.md says the same).
RECORDER = (
    "recorder", "on", ">hunter2", "-@all", "%R~sidecar:*", "~used:sidecar:*",
    "+hello", "+auth", "+select", "+multi", "+exec", "+hget", "+hsetnx", "+hincrby", "+zadd",
    "+hdel", "+zrem",
)  # fmt: skip


async def test_a_user_that_may_do_no_more_records_and_changes_no_account(
    redis: RedisServer,
) -> None:
    await enroll(redis, ALICE)
    await redis.command("ACL", "SETUSER", *RECORDER)
    user = {"username": "recorder", "password": "hunter2"}
    async with opened(redis, **user) as store:
        await store.add("corp", {ALICE: LastUse(5.0, 1), BOB: LastUse(5.0, 1)}, 1.0)
    async with open_redis(redis.url, user, KEYS.prefix, 5.0) as client:
        writing: Any = client
        for words in (
            ("HSETNX", KEYS.account(ALICE), "groups", "admin"),
            ("HINCRBY", KEYS.account(ALICE), "not_before", "1"),
            ("HDEL", KEYS.account(ALICE), "status"),
            ("HSET", KEYS.account(ALICE), "status", "inactive"),
        ):
            with pytest.raises(NoPermissionError):
                await writing.execute_command(*words)

    assert await redis.command("HGET", KEYS.uses("corp"), "alice") == "1"


async def test_who_may_only_read_accounts_is_told_so(redis: RedisServer) -> None:
    await redis.command(
        "ACL", "SETUSER", "r", "on", ">hunter2", "-@all", "%R~sidecar:*", "+hello", "+hgetall"
    )
    async with opened(redis, username="r", password="hunter2") as store:
        with pytest.raises(StatusUnavailable, match="NoPermission"):
            await store.add("corp", {}, 1.0)
        with pytest.raises(StatusUnavailable, match="NoPermission"):
            await store.read("corp", ["alice"])


async def test_without_a_server_nothing_is_known(redis: RedisServer) -> None:
    async with opened(redis) as store:
        await redis.kill()
        with pytest.raises(StatusUnavailable):
            await store.add("corp", {}, 1.0)
        with pytest.raises(StatusUnavailable):
            await store.read("corp", ["alice"])
        await store.forget(ALICE)


async def test_it_goes_on_when_the_server_is_back(redis: RedisServer) -> None:
    await enroll(redis, ALICE)
    async with opened(redis) as store:
        await store.add("corp", {ALICE: LastUse(5.0, 1)}, 1.0)
        await redis.kill()
        with pytest.raises(StatusUnavailable):
            await store.add("corp", {ALICE: LastUse(6.0, 1)}, 1.0)
        await redis.restart()
        await enroll(redis, ALICE)
        await store.add("corp", {ALICE: LastUse(6.0, 1)}, 1.0)

        assert (await store.read("corp", ["alice"])).by_subject == {"alice": LastUse(6.0, 1)}


async def test_a_write_that_is_cancelled_leaves_no_reply_for_the_next(redis: RedisServer) -> None:
    """redis-py once gave one caller the reply of another (CVE-2023-28859)."""
    await enroll(redis, ALICE)
    async with opened(redis) as store, asyncio.TaskGroup() as tasks:
        for turns in range(60):
            adding = tasks.create_task(store.add("corp", {ALICE: LastUse(turns, 1)}, 1.0))
            for _ in range(turns % 20):
                await asyncio.sleep(0)
            adding.cancel()
            record = await store.read("corp", ["alice", "bob"])
            assert record.since in (None, 1.0)
            assert set(record.by_subject) <= {"alice"}
            assert all(use.last_seen <= turns for use in record.by_subject.values())
