"""The pushed view against a real server. Revocation stands or falls here."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest

from sidecar.adapters.account_keys import AccountKeys
from sidecar.adapters.clock import SystemClock
from sidecar.adapters.redis_accounts import RedisAccountView
from sidecar.adapters.redis_push import connection_for
from sidecar.adapters.view_policy import ViewPolicy
from sidecar.core.subject import Account, AccountStatus, SubjectKey
from sidecar.demo.redis_server import RedisServer
from sidecar.ports import Change, StatusUnavailable, ViewEvent
from tests.fakes.observer import RecordingObserver
from tests.fakes.waiting import until

ALICE = SubjectKey("default", "alice")
ALICE_KEY = "sidecar:account:default:alice"
PATIENT = ViewPolicy(max_staleness=30.0, timeout=10.0, read_timeout=10.0, heartbeat=0.05)


class Seen:
    def __init__(self) -> None:
        self.observer = RecordingObserver()
        self.changes: list[Change] = []


@asynccontextmanager
async def running_view(
    url: str,
    policy: ViewPolicy = PATIENT,
    seen: Seen | None = None,
    options: Mapping[str, Any] | None = None,
) -> AsyncIterator[RedisAccountView]:
    seen = seen or Seen()
    view = RedisAccountView(
        lambda: connection_for(url, options or {}),
        AccountKeys(),
        policy,
        SystemClock(),
        seen.observer,
    )
    view.watch(seen.changes.append)
    async with asyncio.TaskGroup() as tasks:
        run = tasks.create_task(view.run())
        yield view
        run.cancel()


async def activate(redis: RedisServer, subject: str = "alice", groups: str = "devops,ops") -> None:
    await redis.command(
        "HSET", f"sidecar:account:default:{subject}", "status", "active", "groups", groups
    )


async def test_a_view_is_live_only_once_it_is_proven(redis: RedisServer) -> None:
    view = RedisAccountView(
        lambda: connection_for(redis.url, {}),
        AccountKeys(),
        PATIENT,
        SystemClock(),
        RecordingObserver(),
    )

    assert not view.is_live()
    assert view.proven_at() is None
    assert view.look_up(ALICE, None) is None


async def test_an_account_is_read_once_and_then_at_hand(redis: RedisServer) -> None:
    await activate(redis)
    async with running_view(redis.url) as view:
        await until(view.is_live)
        assert view.look_up(ALICE, "j-1") is None

        standing = await view.read(ALICE, "j-1")

        assert standing.account == Account("", "alice", "", ("devops", "ops"), AccountStatus.ACTIVE)
        assert view.look_up(ALICE, "j-1") == standing
        assert view.look_up(ALICE, None) == standing
        assert view.look_up(ALICE, "another-token") is None
        assert view.proven_at() is not None


async def test_an_unknown_subject_is_known_to_be_unknown(redis: RedisServer) -> None:
    async with running_view(redis.url) as view:
        await until(view.is_live)

        assert (await view.read(ALICE, None)).account is None
        standing = view.look_up(ALICE, None)

        assert standing is not None
        assert standing.account is None


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (("HSET", ALICE_KEY, "status", "inactive"), Change("default", "alice")),
        (("DEL", ALICE_KEY), Change("default", "alice")),
        (("PEXPIREAT", ALICE_KEY, "1"), Change("default", "alice")),
        (("RENAME", ALICE_KEY, "elsewhere"), Change("default", "alice")),
        (("SET", "sidecar:revoked:default:j-1", "1"), Change("default", token_id="j-1")),
        (("HSET", "sidecar:realm:default", "not_before", "9e9"), Change("default")),
        (("FLUSHALL",), Change()),
        (("FLUSHDB",), Change()),
    ],
)
async def test_any_writer_is_heard_and_what_was_at_hand_is_gone(
    redis: RedisServer, command: tuple[str, ...], expected: Change
) -> None:
    """No writer has to know us: the push comes from the key itself."""
    await activate(redis)
    seen = Seen()
    async with running_view(redis.url, seen=seen) as view:
        await until(view.is_live)
        before = await view.read(ALICE, "j-1")
        seen.changes.clear()

        await redis.command(*command)
        await until(lambda: expected in seen.changes)

        assert view.look_up(ALICE, "j-1") is None
        assert await view.read(ALICE, "j-1") != before


async def test_a_failover_or_a_cut_connection_empties_the_view(redis: RedisServer) -> None:
    """What happened while nobody listened is not known; so nothing is."""
    await activate(redis)
    seen = Seen()
    async with running_view(redis.url, seen=seen) as view:
        await until(view.is_live)
        await view.read(ALICE, None)
        seen.changes.clear()

        await redis.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        await until(lambda: Change() in seen.changes)

        assert view.look_up(ALICE, None) is None
        assert ViewEvent.LOST in seen.observer.view_events
        assert (await view.read(ALICE, None)).account is not None


async def test_a_silent_server_ends_the_lease(redis: RedisServer) -> None:
    """Sockets stay open, nobody answers: the last known status must not live on."""
    await activate(redis)
    policy = ViewPolicy(max_staleness=0.3, heartbeat=0.05, timeout=0.2, read_timeout=0.2)
    async with running_view(redis.url, policy) as view:
        await until(view.is_live)
        await view.read(ALICE, None)

        redis.pause()
        try:
            await until(lambda: not view.is_live())
            assert view.look_up(ALICE, None) is None
            with pytest.raises(StatusUnavailable):
                await view.read(ALICE, None)
        finally:
            redis.resume()
        await until(view.is_live)


async def test_a_killed_server_is_found_again_when_it_is_back(redis: RedisServer) -> None:
    await activate(redis)
    policy = ViewPolicy(max_staleness=0.3, heartbeat=0.05, timeout=0.2, read_timeout=0.2)
    async with running_view(redis.url, policy) as view:
        await until(view.is_live)
        await view.read(ALICE, None)

        await redis.kill()
        await until(lambda: not view.is_live())
        with pytest.raises(StatusUnavailable):
            await view.read(ALICE, None)
        await redis.restart()
        await until(view.is_live)

        # It came back without its data: nobody is in, as an allow-list demands.
        assert (await view.read(ALICE, None)).account is None


async def test_an_error_reply_is_not_an_unknown_subject(redis: RedisServer) -> None:
    await redis.command("SET", ALICE_KEY, "not a hash")
    await activate(redis, "bob")
    async with running_view(redis.url) as view:
        await until(view.is_live)

        with pytest.raises(StatusUnavailable, match="WRONGTYPE"):
            await view.read(ALICE, None)

        assert view.look_up(ALICE, None) is None
        assert (await view.read(SubjectKey("default", "bob"), None)).account is not None


async def test_whoever_gives_up_waiting_gives_nobody_anothers_answer(redis: RedisServer) -> None:
    """redis-py CVE-2023-28858: a cancelled command left its reply to the next caller."""
    await activate(redis)
    async with running_view(redis.url) as view:
        await until(view.is_live)
        mallory = SubjectKey("default", "mallory")
        for turn in range(100):
            async with asyncio.TaskGroup() as tasks:
                leaving = tasks.create_task(view.read(ALICE, f"j-{turn}"))
                staying = tasks.create_task(view.read(mallory, f"m-{turn}"))
                await asyncio.sleep(0)
                leaving.cancel()

            assert staying.result().account is None


async def test_many_who_wait_for_one_subject_ask_once(redis: RedisServer) -> None:
    await activate(redis)
    async with running_view(redis.url) as view:
        await until(view.is_live)
        await redis.command("CONFIG", "RESETSTAT")

        async with asyncio.TaskGroup() as tasks:
            for _ in range(200):
                tasks.create_task(view.read(ALICE, "j-1"))

        stats = str(await redis.command("INFO", "commandstats"))
        assert "cmdstat_hgetall:calls=2," in stats or "'calls': 2" in stats


async def test_the_view_forgets_the_least_recently_used(redis: RedisServer) -> None:
    policy = ViewPolicy(
        max_staleness=30.0, timeout=10.0, read_timeout=10.0, heartbeat=0.05, max_subjects=2
    )
    async with running_view(redis.url, policy) as view:
        await until(view.is_live)
        for name in ("a", "b", "c"):
            await view.read(SubjectKey("default", name), None)

        assert view.look_up(SubjectKey("default", "a"), None) is None
        assert view.look_up(SubjectKey("default", "c"), None) is not None


async def test_strict_reads_share_one_round_trip_but_never_an_answer_already_asked_for(
    redis: RedisServer,
) -> None:
    await activate(redis)
    policy = ViewPolicy(
        max_staleness=30.0, timeout=10.0, read_timeout=10.0, heartbeat=0.05, strict=True
    )
    async with running_view(redis.url, policy) as view:
        await until(view.is_live)
        first = await view.read(ALICE, None)
        await redis.command("HSET", ALICE_KEY, "status", "inactive")

        second = await view.read(ALICE, None)

    assert first.account is not None
    assert first.account.is_active
    assert second.account is not None
    assert not second.account.is_active


async def test_a_foreign_service_on_the_port_is_no_account_store() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1024)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    seen = Seen()
    async with server, running_view(f"redis://127.0.0.1:{port}/0", seen=seen) as view:
        await until(lambda: seen.observer.view_events.count(ViewEvent.LOST) > 1)

        assert not view.is_live()
        with pytest.raises(StatusUnavailable):
            await view.read(ALICE, None)


async def test_a_server_that_accepts_and_says_nothing_is_given_up() -> None:
    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(listen, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    seen = Seen()
    policy = ViewPolicy(max_staleness=0.3, heartbeat=0.05, timeout=0.1, read_timeout=0.1)
    async with server, running_view(f"redis://127.0.0.1:{port}/0", policy, seen) as view:
        await until(lambda: ViewEvent.LOST in seen.observer.view_events)

        assert not view.is_live()
