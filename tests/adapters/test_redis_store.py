import asyncio
from dataclasses import replace

import pytest

from sidecar.adapters.account_keys import AccountKeys
from sidecar.adapters.redis_store import open_redis_store
from sidecar.core.subject import Account, AccountStatus, SubjectKey
from sidecar.demo.redis_server import RedisServer
from sidecar.ports import StatusUnavailable

ALICE = SubjectKey("corp", "alice")
ACCOUNT = Account("1", "alice", "Alice", ("devops",), AccountStatus.ACTIVE, 0.0, 1.5, "cli:root")
KEYS = AccountKeys()


async def test_an_account_comes_back_as_it_was_written(redis: RedisServer) -> None:
    async with open_redis_store(redis.url, {}, KEYS, 5.0) as store:
        assert await store.get(ALICE) is None
        assert await store.put(ALICE, ACCOUNT, expected=None)
        assert await store.get(ALICE) == ACCOUNT


async def test_a_write_on_top_of_anothers_change_is_refused(redis: RedisServer) -> None:
    async with open_redis_store(redis.url, {}, KEYS, 5.0) as store:
        assert await store.put(ALICE, ACCOUNT, expected=None)

        assert not await store.put(ALICE, ACCOUNT, expected=None)
        assert not await store.put(ALICE, ACCOUNT, expected=replace(ACCOUNT, name="other"))
        assert await store.put(ALICE, replace(ACCOUNT, name="new"), expected=ACCOUNT)


async def test_fields_that_others_keep_in_the_hash_survive_a_write(redis: RedisServer) -> None:
    await redis.command("HSET", "sidecar:account:corp:alice", "status", "active", "team", "blue")
    async with open_redis_store(redis.url, {}, KEYS, 5.0) as store:
        found = await store.get(ALICE)
        assert found is not None
        assert await store.put(ALICE, replace(found, name="Alice"), expected=found)

    assert await redis.command("HGET", "sidecar:account:corp:alice", "team") in ("blue", b"blue")


async def test_a_realm_lists_its_accounts_by_subject_and_no_others(redis: RedisServer) -> None:
    async with open_redis_store(redis.url, {}, KEYS, 5.0) as store:
        for realm, subject in (("corp", "bob"), ("corp", "alice"), ("corp2", "eve")):
            key = SubjectKey(realm, subject)
            await store.put(key, replace(ACCOUNT, subject=subject), expected=None)

        assert [account.subject for account in await store.list("corp")] == ["alice", "bob"]


async def test_more_accounts_than_one_batch_are_all_listed(redis: RedisServer) -> None:
    async with open_redis_store(redis.url, {}, KEYS, 5.0) as store:
        for number in range(1101):
            await redis.command("HSET", f"sidecar:account:corp:s{number:04}", "status", "active")

        assert len(await store.list("corp")) == 1101


async def test_a_deleted_account_is_unknown(redis: RedisServer) -> None:
    async with open_redis_store(redis.url, {}, KEYS, 5.0) as store:
        await store.put(ALICE, ACCOUNT, expected=None)

        assert await store.delete(ALICE)
        assert not await store.delete(ALICE)
        assert await store.get(ALICE) is None


async def test_without_a_server_every_call_says_that_nothing_is_known(redis: RedisServer) -> None:
    async with open_redis_store(redis.url, {}, KEYS, 1.0) as store:
        await redis.kill()
        with pytest.raises(StatusUnavailable):
            await store.get(ALICE)
        with pytest.raises(StatusUnavailable):
            await store.list("corp")
        with pytest.raises(StatusUnavailable):
            await store.put(ALICE, ACCOUNT, expected=None)
        with pytest.raises(StatusUnavailable):
            await store.delete(ALICE)


async def test_a_key_that_is_no_account_hides_no_other(
    redis: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_redis_store(redis.url, {}, KEYS, 5.0) as store:
        await store.put(ALICE, ACCOUNT, expected=None)
        await redis.command("SET", "sidecar:account:corp:bob", "no account")

        assert [account.subject for account in await store.list("corp")] == ["alice"]
        with pytest.raises(StatusUnavailable, match="WRONGTYPE"):
            await store.get(SubjectKey("corp", "bob"))
    assert "sidecar:account:corp:bob" in caplog.text


async def test_a_write_whose_answer_is_lost_is_neither_done_nor_refused(
    redis: RedisServer,
) -> None:
    """redis-py says "watched variable changed" then, which would be tried again unaudited."""

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream_reader, upstream_writer = await asyncio.open_connection("127.0.0.1", redis.port)
        async with asyncio.TaskGroup() as tasks:
            answers = tasks.create_task(_pipe(upstream_reader, writer))
            while data := await reader.read(65536):
                upstream_writer.write(data)
                if b"EXEC" in data:
                    await asyncio.sleep(0.05)  # it is carried out, and nobody hears of it
                    break
                await asyncio.sleep(0.05)
            answers.cancel()
        writer.transport.abort()
        upstream_writer.close()

    proxy = await asyncio.start_server(forward, "127.0.0.1", 0)
    url = f"redis://127.0.0.1:{proxy.sockets[0].getsockname()[1]}/0"
    async with proxy, open_redis_store(url, {}, KEYS, 5.0) as store:
        with pytest.raises(StatusUnavailable):
            await store.put(ALICE, ACCOUNT, expected=None)


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        if b"QUEUED" in data:
            return
        writer.write(data)
