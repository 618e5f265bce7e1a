"""Which proofs were used, in a real Redis-compatible server, for several workers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from sidecar.adapters.account_keys import AccountKeys
from sidecar.adapters.redis_client import open_redis
from sidecar.adapters.redis_proofs import RedisProofs
from sidecar.binding import Proofs
from sidecar.core.confirmation import Shown
from sidecar.core.decision import Deny, DenyReason, Grant
from sidecar.demo.redis_server import RedisServer
from sidecar.ports import StatusUnavailable
from tests.fakes.proofs import DPOP, RULES, bound_issuers, jkt_of, proof_of
from tests.fakes.world import World

KEYS = AccountKeys()
MARK = "0" * 64


@asynccontextmanager
async def worker(redis: RedisServer, seconds: float = 5.0) -> AsyncIterator[RedisProofs]:
    """Open what one worker has, with connections of its own."""
    async with open_redis(redis.url, {}, KEYS.prefix, seconds) as client:
        yield RedisProofs(client, KEYS)


async def test_what_one_worker_took_is_used_for_all(redis: RedisServer) -> None:
    async with worker(redis) as one, worker(redis) as other:
        assert await one.use(MARK, 70)
        assert not await other.use(MARK, 70)
        assert not await one.use(MARK, 70)
        assert await other.use("1" * 64, 70)


async def test_of_many_workers_at_once_one_is_first(redis: RedisServer) -> None:
    async with worker(redis) as one, worker(redis) as other:
        firsts = await asyncio.gather(*(each.use(MARK, 70) for each in (one, other) * 100))

    assert firsts.count(True) == 1


async def test_a_mark_lives_as_long_as_it_is_told(redis: RedisServer) -> None:
    async with worker(redis) as proofs:
        await proofs.use(MARK, 70.0004)

    left = await redis.command("PTTL", KEYS.proof(MARK))
    assert isinstance(left, int)
    assert 0 < left <= 70_001


async def test_a_mark_is_heard_of_by_no_account_view() -> None:
    assert not KEYS.proof(MARK).startswith(KEYS.prefix)
    assert KEYS.read_change(KEYS.proof(MARK)) is None


async def test_a_server_that_is_gone_or_refuses_is_no_first_use(redis: RedisServer) -> None:
    async with worker(redis) as proofs:
        assert await proofs.use(MARK, 70)
        await redis.command("ACL", "SETUSER", "default", "-set")
        with pytest.raises(StatusUnavailable):
            await proofs.use("1" * 64, 70)
        await redis.command("ACL", "SETUSER", "default", "+set")
        await redis.stop()
        with pytest.raises(StatusUnavailable):
            await proofs.use("2" * 64, 70)


async def test_the_rights_that_the_readme_names_are_enough(redis: RedisServer) -> None:
    rights = ("%W~used:sidecar:proof:*", "-@all", "+hello", "+auth", "+ping", "+select", "+set")
    await redis.command("ACL", "SETUSER", "sidecar", "on", ">secret", *rights)
    user = {"username": "sidecar", "password": "secret"}
    async with open_redis(redis.url, user, KEYS.prefix, 5.0) as client:
        proofs = RedisProofs(client, KEYS)
        assert await proofs.use(MARK, 70)
        assert not await proofs.use(MARK, 70)


async def test_a_replay_at_another_worker_is_refused(redis: RedisServer) -> None:
    async with worker(redis) as one, worker(redis) as other:
        here, there = (
            World(issuers=bound_issuers(DPOP), proofs=Proofs(RULES, used)) for used in (one, other)
        )
        token = here.sign(cnf={"jkt": jkt_of()})
        asked = here.request(authorization=(f"DPoP {token}",))
        asked.shown = Shown((proof_of(token),))

        first = await here.authorizer.authorize(asked)
        replayed = await there.authorizer.authorize(asked)
        await redis.stop()
        asked.shown = Shown((proof_of(token),))
        unsure = await here.authorizer.authorize(asked)

    assert isinstance(first, Grant)
    assert isinstance(replayed, Deny)
    assert replayed.reason is DenyReason.PROOF_REPLAYED
    assert isinstance(unsure, Deny)
    assert unsure.reason is DenyReason.STATUS_UNAVAILABLE
    assert unsure.reason.http_status == 503
