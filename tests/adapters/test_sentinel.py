"""The primary is wherever the sentinels say, and nobody else is believed (R9)."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import pytest

from sidecar.adapters.account_keys import AccountKeys
from sidecar.adapters.clock import SystemClock
from sidecar.adapters.redis_accounts import RedisAccountView
from sidecar.adapters.redis_push import connection_for
from sidecar.adapters.redis_store import open_redis_store
from sidecar.adapters.view_policy import ViewPolicy
from sidecar.core.subject import Account, AccountStatus, SubjectKey
from sidecar.demo.redis_server import RedisServer
from sidecar.ports import StatusUnavailable, ViewEvent
from tests.adapters.test_redis_accounts import running_view
from tests.fakes.fleet import watched_redis
from tests.fakes.observer import RecordingObserver
from tests.fakes.scripted_redis import ScriptedRedis, scripted_redis
from tests.fakes.waiting import until

ALICE, BOB = (SubjectKey("default", name) for name in ("alice", "bob"))
POLICY = ViewPolicy(max_staleness=2.0, heartbeat=0.05, timeout=1.0, read_timeout=1.0)


def active(subject: SubjectKey) -> Account:
    return Account("1", subject.subject, "", (), AccountStatus.ACTIVE)


def inactive(subject: SubjectKey) -> Account:
    return replace(active(subject), status=AccountStatus.INACTIVE)


@dataclass
class Traffic:
    """Somebody who asks all the time, as requests do; ``granted`` is what got in."""

    view: RedisAccountView
    observer: RecordingObserver
    granted: set[str] = field(default_factory=set)

    async def flow(self) -> None:
        while True:
            for subject in (ALICE, BOB):
                try:
                    if self.view.look_up(subject, None) is None:
                        await self.view.read(subject, None)
                except StatusUnavailable:
                    pass
                found = self.view.look_up(subject, None)
                if found is not None and found.account is not None and found.account.is_active:
                    self.granted.add(subject.subject)
            await asyncio.sleep(0.002)

    async def moves(self) -> None:
        """Wait for the next connection. That may be there before the lease of the last one ends."""
        count = self.observer.view_events.count(ViewEvent.CONNECTED)
        await until(lambda: self.observer.view_events.count(ViewEvent.CONNECTED) > count, 30.0)

    async def grants_alice(self) -> None:
        self.granted.clear()
        await until(lambda: "alice" in self.granted, 30.0)


@asynccontextmanager
async def following_view(url: str, prefix: str = "sidecar:") -> AsyncIterator[Traffic]:
    observer = RecordingObserver()
    view = RedisAccountView(
        lambda: connection_for(url, {}, prefix, POLICY.max_staleness / 4),
        AccountKeys(prefix),
        POLICY,
        SystemClock(),
        observer,
    )
    traffic = Traffic(view, observer)
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(each) for each in (view.run(), traffic.flow())]
        yield traffic
        for task in running:
            task.cancel()


@pytest.mark.e2e
async def test_a_dead_primary_is_followed_by_its_successor(
    record_property: Callable[[str, object], None],
) -> None:
    async with (
        watched_redis() as watched,
        open_redis_store(watched.url, {}, AccountKeys(), 2.0) as store,
        following_view(watched.url) as traffic,
    ):
        await store.put(ALICE, active(ALICE), expected=None)
        await store.put(BOB, active(BOB), expected=None)
        await traffic.grants_alice()
        await store.put(BOB, inactive(BOB), expected=active(BOB))
        assert await watched.primary.command("WAIT", 1, 5000) == 1
        await traffic.grants_alice()
        assert traffic.granted == {"alice"}

        began = SystemClock().steady()
        await watched.primary.kill()
        await traffic.moves()
        await traffic.grants_alice()
        took = SystemClock().steady() - began

        assert traffic.granted == {"alice"}
        record_property("recovery_seconds", took)
        assert took < 15
        # The store has followed too, and what it writes is heard.
        assert await store.put(ALICE, inactive(ALICE), expected=active(ALICE))
        await until(
            lambda: (x := traffic.view.look_up(ALICE, None)) and x.account == inactive(ALICE)
        )
        assert traffic.granted == {"alice"}


def named(server: RedisServer | ScriptedRedis, epoch: int) -> bytes:
    fields = {
        "ip": "127.0.0.1", "port": str(server.port), "flags": "master", "config-epoch": str(epoch),
    }  # fmt: skip
    words = [word for item in fields.items() for word in item]
    return b"*%d\r\n" % len(words) + b"".join(
        b"$%d\r\n%s\r\n" % (len(word), word.encode()) for word in words
    )


@asynccontextmanager
async def three_voices(server: RedisServer | ScriptedRedis) -> AsyncIterator[list[ScriptedRedis]]:
    answer = {b"SENTINEL": named(server, 1)}
    async with (
        scripted_redis(answer) as one,
        scripted_redis(answer) as two,
        scripted_redis(answer) as three,
    ):
        yield [one, two, three]


def url_of(voices: list[ScriptedRedis]) -> str:
    places = ",".join(each.url.removeprefix("redis://").removesuffix("/0") for each in voices)
    return f"redis+sentinel://{places}/main/0"


async def test_an_old_primary_that_answers_for_ever_is_left(redis: RedisServer) -> None:
    """Split brain: it lives, holds itself for the primary, and hears of nothing any more."""
    async with (
        RedisServer() as successor,
        three_voices(redis) as voices,
        following_view(url_of(voices)) as traffic,
    ):
        await redis.command("HSET", "sidecar:account:default:alice", "status", "active")
        await redis.command("HSET", "sidecar:account:default:bob", "status", "active")
        await successor.command("HSET", "sidecar:account:default:alice", "status", "active")
        await until(lambda: traffic.granted == {"alice", "bob"})

        voices[2].answers[b"SENTINEL"] = named(successor, 2)
        await asyncio.sleep(POLICY.max_staleness)
        traffic.granted.clear()
        await traffic.grants_alice()

        assert traffic.granted == {"alice"}


async def test_without_a_majority_nobody_knows_where_the_primary_is(redis: RedisServer) -> None:
    async with three_voices(redis) as voices, following_view(url_of(voices)) as traffic:
        await redis.command("HSET", "sidecar:account:default:alice", "status", "active")
        await traffic.grants_alice()

        voices[0].answers[b"SENTINEL"] = b"-ERR No such master with that name\r\n"
        await asyncio.sleep(POLICY.max_staleness)
        assert traffic.view.is_live()

        voices[1].answers[b"SENTINEL"] = b"-ERR No such master with that name\r\n"
        await until(lambda: not traffic.view.is_live())
        assert traffic.view.look_up(ALICE, None) is None

        voices[0].answers[b"SENTINEL"] = named(redis, 1)
        await traffic.grants_alice()


async def test_who_is_named_and_says_it_is_a_replica_is_not_believed(redis: RedisServer) -> None:
    async with RedisServer() as other, three_voices(redis) as voices:
        await redis.command("REPLICAOF", "127.0.0.1", other.port)
        async with following_view(url_of(voices)) as traffic:
            async with open_redis_store(url_of(voices), {}, AccountKeys(), 1.0) as store:
                with pytest.raises(StatusUnavailable, match="no primary"):
                    await store.get(ALICE)
            assert not traffic.view.is_live()

            await redis.command("REPLICAOF", "NO", "ONE")
            await until(traffic.view.is_live)


async def test_a_single_server_that_becomes_a_replica_is_no_longer_believed(
    redis: RedisServer,
) -> None:
    policy = ViewPolicy(max_staleness=0.5, heartbeat=0.05, timeout=1.0, read_timeout=1.0)
    async with RedisServer() as other, running_view(redis.url, policy) as view:
        await until(view.is_live)

        await redis.command("REPLICAOF", "127.0.0.1", other.port)
        await until(lambda: not view.is_live())
        await asyncio.sleep(policy.max_staleness)
        assert not view.is_live()

        await redis.command("REPLICAOF", "NO", "ONE")
        await until(view.is_live)


async def test_a_store_leaves_a_server_that_is_no_primary_any_more(redis: RedisServer) -> None:
    async with (
        RedisServer() as successor,
        three_voices(redis) as voices,
        open_redis_store(url_of(voices), {}, AccountKeys(), 2.0) as store,
    ):
        assert await store.put(ALICE, active(ALICE), expected=None)
        await redis.command("REPLICAOF", "127.0.0.1", successor.port)
        with pytest.raises(StatusUnavailable):
            await store.delete(ALICE)
        for voice in voices:
            voice.answers[b"SENTINEL"] = named(successor, 2)

        assert await store.put(BOB, active(BOB), expected=None)
        assert await successor.command("EXISTS", "sidecar:account:default:bob")


async def test_who_is_named_and_does_not_say_what_it_is_is_not_believed() -> None:
    async with (
        scripted_redis({}) as server,
        three_voices(server) as voices,
        following_view(url_of(voices)) as traffic,
    ):
        await traffic.grants_alice()

        server.answers[b"ROLE"] = b"-NOPERM User sidecar has no permissions\r\n"
        await until(lambda: not traffic.view.is_live())
        assert traffic.view.look_up(ALICE, None) is None

        server.answers.clear()
        await traffic.grants_alice()
