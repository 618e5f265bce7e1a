"""The audit trail: bounded, newest first, and never in the way of a change."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
from typing_extensions import override

from sidecar.adapters.account_keys import AccountKeys
from sidecar.adapters.audit_trail import (
    AuditLog,
    AuditTrail,
    Entry,
    MemoryAuditLog,
    RedisAuditLog,
)
from sidecar.adapters.redis_client import open_redis
from sidecar.app.running import running
from sidecar.core.subject import SubjectKey
from sidecar.demo.redis_server import RedisServer
from sidecar.ports import AuditRecord, StatusUnavailable

KEYS = AccountKeys()


def record(action: str) -> AuditRecord:
    return AuditRecord(1.0, "admin secret", action, SubjectKey("corp", "alice"))


def write(each: AuditRecord) -> str:
    return json.dumps({"action": each.action})


class Losses:
    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> None:
        self.count += 1


class BrokenLog:
    """Implements ``AuditLog``: it keeps nothing, and says why, or waits for ever."""

    def __init__(self, failure: Exception | None) -> None:
        self._failure = failure

    async def append(self, line: str) -> None:
        del line
        if self._failure is None:
            await asyncio.Event().wait()
        else:
            raise self._failure

    async def newest(self, limit: int, before: str | None) -> Sequence[Entry]:
        del limit, before
        return []


@asynccontextmanager
async def logs(kind: str, redis: RedisServer, entries: int = 100) -> AsyncIterator[AuditLog]:
    if kind == "memory":
        yield MemoryAuditLog(entries)
        return
    async with open_redis(redis.url, {}, KEYS.prefix, 5.0) as client:
        yield RedisAuditLog(client, KEYS.audit, entries)


@pytest.mark.parametrize("kind", ["memory", "redis"])
async def test_what_was_heard_is_there_newest_first_and_page_by_page(
    redis: RedisServer, kind: str
) -> None:
    async with logs(kind, redis) as log:
        trail = AuditTrail(log, write, Losses())
        async with running(trail.run):
            for number in range(5):
                trail.audited(record(f"a{number}"))
            await trail.settle(10.0)

            first = await trail.newest(2, None)
            rest = await trail.newest(10, first[-1].id)

        assert [each.record["action"] for each in (*first, *rest)] == ["a4", "a3", "a2", "a1", "a0"]
        assert await log.newest(1, "0-0") == []


@pytest.mark.parametrize("kind", ["memory", "redis"])
@pytest.mark.parametrize("before", ["", "+", "1", "1-", "-1", "1-x", "9" * 19 + "-0", "\u0663-0"])
async def test_what_is_no_id_is_told_from_an_end(
    redis: RedisServer, kind: str, before: str
) -> None:
    async with logs(kind, redis) as log:
        await log.append("{}")
        with pytest.raises(ValueError, match="expected an id"):
            await log.newest(1, before)


@pytest.mark.parametrize("kind", ["memory", "redis"])
async def test_the_oldest_are_forgotten(redis: RedisServer, kind: str) -> None:
    async with logs(kind, redis, entries=100) as log:
        for number in range(350):
            await log.append(json.dumps({"number": number}))

        kept = await log.newest(1000, None)

    # Redis forgets whole nodes of its stream, of a hundred entries.
    assert 100 <= len(kept) <= 200
    assert kept[0].record == {"number": 349}


async def test_what_somebody_wrote_by_hand_hides_nothing(redis: RedisServer) -> None:
    async with logs("redis", redis) as log:
        await log.append('{"action": "kept"}')
        for fields in (("a", "b"), ("record", "no json"), ("record", "[1]")):
            await redis.command("XADD", KEYS.audit, "*", *fields)

        found = [each.record for each in await log.newest(10, None)]

    assert found == [{"event": "unreadable"}] * 3 + [{"action": "kept"}]


@pytest.mark.parametrize(
    "failure",
    [StatusUnavailable("Redis is away"), RuntimeError("a defect")],
    ids=["away", "defect"],
)
async def test_a_record_that_cannot_be_kept_is_told_and_the_next_one_is_tried(
    caplog: pytest.LogCaptureFixture, failure: Exception
) -> None:
    lost = Losses()
    trail = AuditTrail(BrokenLog(failure), write, lost)
    async with running(trail.run):
        trail.audited(record("disable"))
        trail.audited(record("enable"))
        await trail.settle(10.0)

    assert lost.count == 2
    assert "the record of disable by admin secret is in the log alone" in caplog.text
    assert "the record of enable by admin secret is in the log alone" in caplog.text


async def test_nobody_waits_for_a_store_that_is_silent(caplog: pytest.LogCaptureFixture) -> None:
    lost = Losses()
    trail = AuditTrail(BrokenLog(None), write, lost)
    async with running(trail.run):
        for _ in range(1002):
            trail.audited(record("disable"))
        await trail.settle(0.01)

    assert lost.count > 0
    assert "too many wait already" in caplog.text
    assert "still on their way" in caplog.text


class Swallowing(BrokenLog):
    """Hangs, and turns a cancellation into an error of its own, as a client of Redis may."""

    @override
    async def append(self, line: str) -> None:
        try:
            await super().append(line)
        except asyncio.CancelledError:
            raise StatusUnavailable("disconnected") from None


async def test_it_ends_although_its_cancellation_was_swallowed() -> None:
    lost = Losses()
    trail = AuditTrail(Swallowing(None), write, lost)
    async with asyncio.timeout(10):
        async with running(trail.run):
            trail.audited(record("disable"))
            await trail.settle(0.01)

    assert lost.count == 1
