"""Replies that say nothing about a subject: error replies (R11), garbage (R12), eviction (R10).

Each means that nothing can be decided. None means that there is no such subject.
"""

import asyncio
import logging

import pytest

from sidecar.adapters.view_policy import ViewPolicy
from sidecar.core.subject import AccountStatus
from sidecar.demo.redis_server import RedisServer
from sidecar.ports import StatusUnavailable, ViewEvent
from tests.adapters.test_redis_accounts import ALICE, PATIENT, Seen, running_view
from tests.fakes.scripted_redis import scripted_redis
from tests.fakes.waiting import until

QUICK = ViewPolicy(max_staleness=30.0, timeout=0.3, read_timeout=0.3, heartbeat=0.05)
ERRORS = [
    b"LOADING Redis is loading the dataset in memory",
    b"MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
    b"READONLY You can't write against a read only replica.",
    b"OOM command not allowed when used memory > 'maxmemory'.",
    b"NOAUTH Authentication required.",
    b"NOPERM User sidecar has no permissions to run the 'hgetall' command",
    b"WRONGTYPE Operation against a key holding the wrong kind of value",
    b"BUSY Redis is busy running a script.",
    b"MOVED 3999 127.0.0.1:6381",
    b"MOVED nonsense",
    b"ASK 3999 127.0.0.1:6381",
    b"CLUSTERDOWN The cluster is down",
    b"TRYAGAIN Multiple keys request during rehashing of slot",
    b"ERR unknown command",
    b"",
]


def name(text: bytes) -> str:
    return text.decode()[:12]


@pytest.mark.parametrize("error", ERRORS, ids=name)
async def test_an_error_reply_decides_nothing(error: bytes) -> None:
    """R11. A view that gave up the connection must find its way back by itself."""
    async with (
        scripted_redis({b"HGETALL": b"-" + error + b"\r\n"}) as redis,
        running_view(redis.url) as view,
    ):
        await until(view.is_live)

        with pytest.raises(StatusUnavailable):
            await view.read(ALICE, None)

        assert view.look_up(ALICE, None) is None
        redis.answers.clear()
        await until(view.is_live)
        async with asyncio.timeout(10):
            while (found := view.look_up(ALICE, None)) is None:
                try:
                    await view.read(ALICE, None)
                except StatusUnavailable:
                    await asyncio.sleep(0.01)
        assert found.account is not None


@pytest.mark.parametrize("error", ERRORS, ids=name)
@pytest.mark.parametrize("command", [b"CLIENT", b"PING", b"MGET"], ids=name)
async def test_no_view_lives_on_error_replies(command: bytes, error: bytes) -> None:
    seen = Seen()
    async with (
        scripted_redis({command: b"-" + error + b"\r\n"}) as redis,
        running_view(redis.url, seen=seen) as view,
    ):
        await until(lambda: redis.connections > 1)

        assert ViewEvent.LIVE not in seen.observer.view_events
        assert view.look_up(ALICE, None) is None


@pytest.mark.parametrize(
    "garbage",
    [
        b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/html\r\n\r\n<html>",
        b"+OK\r\n",
        b":1\r\n",
        b"*2\r\n$6\r\nstatus\r\n$6\r\nactive\r\n",
        b"$6\r\nactive\r\n",
        b"_\r\n",
        b"#t\r\n",
        b"%1\r\n$6\r\nstatus\r\n:1\r\n",
        b"%1\r\n:1\r\n$6\r\nactive\r\n",
        b"%-1\r\n",
        b"\x00\xff\xfe\r\n",
    ],
    ids=lambda octets: repr(octets[:20]),
)
async def test_a_reply_that_is_no_hash_decides_nothing(garbage: bytes) -> None:
    """R12."""
    async with (
        scripted_redis({b"HGETALL": garbage}) as redis,
        running_view(redis.url, QUICK) as view,
    ):
        await until(view.is_live)

        with pytest.raises(StatusUnavailable):
            await view.read(ALICE, None)

        assert view.look_up(ALICE, None) is None


@pytest.mark.parametrize(
    "status",
    [b"ACTIVE", b"Active", b"active\n", b"active\x00", b" active", b"1", b"", b"true",
     b"\xff\xfe\x00", bytes(10_000_000), b"active" * 1_000_000],
    ids=lambda octets: repr(octets[:10]),
)  # fmt: skip
async def test_only_the_exact_word_is_active(redis: RedisServer, status: bytes) -> None:
    """R12."""
    await redis.command("HSET", "sidecar:account:default:alice", "status", status)
    async with running_view(redis.url) as view:
        await until(view.is_live)

        account = (await view.read(ALICE, None)).account

        assert account is not None
        assert account.status is AccountStatus.INACTIVE


@pytest.mark.parametrize(
    ("policy", "warns"), [("noeviction", False), ("allkeys-lru", True), ("volatile-ttl", True)]
)
async def test_a_redis_that_may_drop_keys_is_told_of(
    redis: RedisServer, caplog: pytest.LogCaptureFixture, policy: str, *, warns: bool
) -> None:
    """R10. A key that says that a token is revoked would be the first to go."""
    await redis.command("CONFIG", "SET", "maxmemory-policy", policy)
    seen = Seen()
    async with running_view(redis.url, PATIENT, seen) as view:
        await until(view.is_live)

    warnings = [each for each in caplog.records if "maxmemory-policy" in each.message]
    assert len(warnings) == warns
    assert all(policy in each.message for each in warnings)
    assert (ViewEvent.EVICTING in seen.observer.view_events) is warns


@pytest.mark.parametrize(
    "answer", [b"-NOPERM no\r\n", b"-ERR unknown command\r\n", b"%0\r\n", b"*0\r\n", b"+OK\r\n"]
)
async def test_who_may_not_ask_how_keys_are_dropped_says_nothing(
    caplog: pytest.LogCaptureFixture, answer: bytes
) -> None:
    caplog.set_level(logging.WARNING)
    async with (
        scripted_redis({b"CONFIG": answer}) as redis,
        running_view(redis.url) as view,
    ):
        await until(view.is_live)

    assert caplog.records == []


async def test_the_url_of_one_server_is_trusted_where_its_role_may_not_be_asked_for() -> None:
    async with (
        scripted_redis({b"ROLE": b"-NOPERM no\r\n"}) as redis,
        running_view(redis.url) as view,
    ):
        await until(view.is_live)

        assert (await view.read(ALICE, None)).account is not None
