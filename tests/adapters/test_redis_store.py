import asyncio
from dataclasses import replace
from math import ceil, inf

import pytest

from sidecar.adapters.account_keys import AccountKeys
from sidecar.adapters.clock import SystemClock
from sidecar.adapters.redis_client import open_redis
from sidecar.adapters.redis_last_use import RedisLastUse
from sidecar.adapters.redis_store import open_redis_store
from sidecar.core.last_use import UseRecord
from sidecar.core.subject import Account, AccountStatus, SubjectKey
from sidecar.demo.redis_server import RedisServer
from sidecar.ports import StatusUnavailable
from sidecar.service_accounts import ServiceAccounts
from tests.fakes.observer import RecordingObserver
from tests.fakes.waiting import until

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


async def test_no_account_is_written_where_the_store_is_laid_out_in_another_way(
    redis: RedisServer,
) -> None:
    """Else an older command would say that an account is disabled, and it would go on."""
    async with open_redis_store(redis.url, {}, KEYS, 5.0) as store:
        await redis.command("SET", "sidecar:schema", "1")
        assert await store.put(ALICE, ACCOUNT, expected=None)
        await redis.command("SET", "sidecar:schema", "2")

        with pytest.raises(StatusUnavailable, match="schema '2'"):
            await store.put(ALICE, replace(ACCOUNT, name="new"), expected=ACCOUNT)
        with pytest.raises(StatusUnavailable, match="schema '2'"):
            await store.delete(ALICE)
        assert await store.get(ALICE) == ACCOUNT


async def test_a_hold_on_which_somebody_wrote_by_hand_is_not_taken_back(redis: RedisServer) -> None:
    async with open_redis_store(redis.url, {}, KEYS, 5.0) as store:
        accounts = ServiceAccounts(store, SystemClock(), RecordingObserver(), actor="gateway")
        before = await store.put(ALICE, ACCOUNT, expected=None)
        assert before is not None
        held = await accounts.hold(ALICE)
        assert await store.get(ALICE) == held
        await redis.command("HSET", "sidecar:account:corp:alice", "status", "inactive")

        assert not await accounts.restore(ALICE, before, held)
        assert not (await accounts.get(ALICE)).is_active


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


async def test_a_revoked_token_is_remembered_until_then_and_never_shorter(
    redis: RedisServer,
) -> None:
    now = SystemClock().now()
    async with open_redis_store(redis.url, {}, KEYS, 5.0) as store:
        for seconds in (99.5, 10, 200):  # 10: whoever says "sooner" must not let it in again
            await store.revoke_token("corp", "j:1*", now + seconds)
            until = await redis.command("EXPIRETIME", "sidecar:revoked:corp:j:1*")
            assert until == ceil(now + max(seconds, 99.5))


async def test_a_token_that_was_revoked_by_hand_for_ever_stays_so(redis: RedisServer) -> None:
    await redis.command("SET", "sidecar:revoked:corp:j", "by hand")
    async with open_redis_store(redis.url, {}, KEYS, 5.0) as store:
        await store.revoke_token("corp", "j", SystemClock().now() + 10)

    assert await redis.command("EXPIRETIME", "sidecar:revoked:corp:j") == -1


# What the revocation endpoint needs beside reading (docs/redis.md says the same).
REVOKER = (
    "revoker", "on", ">hunter2", "-@all", "%W~sidecar:revoked:*", "~sidecar:revision", "+incrby",
    "+hello", "+auth", "+select", "+multi", "+exec", "+set", "+expireat",
)  # fmt: skip


async def test_a_user_that_may_do_no_more_revokes_tokens_and_nothing_else(
    redis: RedisServer,
) -> None:
    await redis.command("ACL", "SETUSER", *REVOKER)
    user = {"username": "revoker", "password": "hunter2"}
    until = SystemClock().now() + 60
    async with open_redis_store(redis.url, user, KEYS, 5.0) as store:
        await store.revoke_token("corp", "j", until)
        assert await redis.command("EXISTS", "sidecar:revoked:corp:j") == 1

        with pytest.raises(StatusUnavailable):
            await store.set_realm_not_before("corp", 1.0)
        with pytest.raises(StatusUnavailable):
            await store.put(ALICE, ACCOUNT, expected=None)


# What the command line needs (docs/redis.md says the same).
MANAGER = (
    "manager", "on", ">hunter2", "-@all", "~sidecar:*", "~used:sidecar:*",
    "+hello", "+auth", "+ping", "+select", "+hgetall", "+scan", "+watch", "+unwatch", "+multi",
    "+exec", "+hset", "+del", "+hget", "+mget", "+set", "+expireat", "+incrby",
    "+hmget", "+zmscore", "+hdel", "+zrem",
)  # fmt: skip


async def test_a_user_that_manages_accounts_needs_no_more_than_this(
    redis: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    await redis.command("ACL", "SETUSER", *MANAGER)
    user = {"username": "manager", "password": "hunter2"}
    async with open_redis_store(redis.url, user, KEYS, 5.0) as store:
        assert await store.put(ALICE, ACCOUNT, expected=None)
        assert not await store.put(ALICE, ACCOUNT, expected=None)
        assert await store.list("corp") == [ACCOUNT]
        await store.revoke_token("corp", "j", SystemClock().now() + 60)
        assert await store.read_realm_not_before("corp") == 0.0
        assert await store.set_realm_not_before("corp", 100.0) == 100.0
        assert await store.set_realm_not_before("corp", 50.0) == 100.0
        assert await store.read_realm_not_before("corp") == 100.0
        assert await store.delete(ALICE)
    async with open_redis(redis.url, user, KEYS.prefix, 5.0) as client:
        assert await RedisLastUse(client, KEYS).read("corp", ["alice"]) == UseRecord(None, {})
    assert caplog.text == ""


async def test_a_realms_not_before_only_grows(redis: RedisServer) -> None:
    async with open_redis_store(redis.url, {}, KEYS, 5.0) as store:
        assert await store.set_realm_not_before("corp", 100.0) == 100.0
        assert await store.set_realm_not_before("corp", 50.0) == 100.0
        assert await store.set_realm_not_before("corp", 200.5) == 200.5
        stored = await redis.command("HGET", "sidecar:realm:corp", "not_before")
        assert stored in ("200.5", b"200.5")

        # What cannot be read refuses every token: that is not to be overwritten either.
        await redis.command("HSET", "sidecar:realm:corp", "not_before", "soon")
        assert await store.set_realm_not_before("corp", 300.0) == inf
        stored = await redis.command("HGET", "sidecar:realm:corp", "not_before")
        assert stored in ("soon", b"soon")


async def test_the_latest_of_many_revocations_of_a_realm_is_in_force(redis: RedisServer) -> None:
    moments = [float(1000 + number * 7 % 50) for number in range(50)]
    async with open_redis_store(redis.url, {}, KEYS, 5.0) as store, asyncio.TaskGroup() as tasks:
        for moment in moments:
            tasks.create_task(store.set_realm_not_before("corp", moment))

    stored = await redis.command("HGET", "sidecar:realm:corp", "not_before")
    assert stored in ("1049.0", b"1049.0")


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
        with pytest.raises(StatusUnavailable):
            await store.revoke_token("corp", "j", 1.0)
        with pytest.raises(StatusUnavailable):
            await store.set_realm_not_before("corp", 1.0)


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
    open_now = 0

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal open_now
        open_now += 1
        upstream_reader, upstream_writer = await asyncio.open_connection("127.0.0.1", redis.port)
        try:
            async with asyncio.TaskGroup() as tasks:
                answers = tasks.create_task(_pipe(upstream_reader, writer))
                while data := await reader.read(65536):
                    upstream_writer.write(data)
                    await asyncio.sleep(0.05)
                    if b"EXEC" in data:
                        break  # it is carried out, and nobody hears of it
                answers.cancel()
        finally:
            writer.transport.abort()
            upstream_writer.close()
            await upstream_writer.wait_closed()
            open_now -= 1

    proxy = await asyncio.start_server(forward, "127.0.0.1", 0)
    url = f"redis://127.0.0.1:{proxy.sockets[0].getsockname()[1]}/0"
    async with proxy:
        async with open_redis_store(url, {}, KEYS, 5.0) as store:
            with pytest.raises(StatusUnavailable):
                await store.put(ALICE, ACCOUNT, expected=None)
            with pytest.raises(StatusUnavailable):
                await store.set_realm_not_before("corp", 100.0)
        await until(lambda: open_now == 0)


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        if b"QUEUED" in data:
            return
        writer.write(data)


async def test_a_deleted_account_is_unknown_and_its_revoked_tokens_stay_revoked(
    redis: RedisServer,
) -> None:
    async with open_redis_store(redis.url, {}, KEYS, 5.0) as store:
        assert await store.put(ALICE, replace(ACCOUNT, not_before=100.0), expected=None)
        assert await store.delete(ALICE)

        assert not await store.delete(ALICE)
        assert await store.get(ALICE) is None
        assert await store.list("corp") == []
        stored = await store.put(ALICE, ACCOUNT, expected=None)
        assert stored == replace(ACCOUNT, not_before=100.0)
        assert await store.get(ALICE) == stored


async def test_an_account_of_which_no_token_was_revoked_is_deleted_without_a_trace(
    redis: RedisServer,
) -> None:
    async with open_redis_store(redis.url, {}, KEYS, 5.0) as store:
        await store.put(ALICE, ACCOUNT, expected=None)
        assert await store.delete(ALICE)

    assert await redis.command("EXISTS", "sidecar:account:corp:alice") == 0
