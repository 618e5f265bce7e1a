"""One leader among many, and no write by one who was paused while another came to lead."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from sidecar.adapters.account_keys import AccountKeys
from sidecar.adapters.redis_client import open_redis
from sidecar.adapters.redis_leader import RedisLeader
from sidecar.adapters.redis_store import RedisAccountStore
from sidecar.core.subject import Account, AccountStatus, SubjectKey
from sidecar.demo.redis_server import RedisServer
from sidecar.ports import StatusUnavailable, Superseded
from tests.fakes.clock import FakeClock
from tests.fakes.waiting import until_async

KEYS = AccountKeys()
ALICE = SubjectKey("corp", "alice")
ACCOUNT = Account("1", "alice", "Alice", (), AccountStatus.ACTIVE)
LEADER, FENCE = KEYS.leader("corp"), KEYS.fence("corp")
PAGE = Path(__file__).parent.parent.parent / "docs" / "redis.md"
READS = (
    "%R~sidecar:* -@all +hello +auth +ping +select +client|tracking +hgetall +exists +mget +role"
)
SYNCS = (
    "~sidecar:account:* ~sidecar:sync:* ~sidecar:revision +scan +watch +unwatch +multi +exec +hset"
    " +get +set +pexpire +del +incrby"
)


@dataclass
class Candidate:
    """A process that may lead, with the store that it writes to when it does."""

    leader: RedisLeader
    store: RedisAccountStore
    clock: FakeClock


@asynccontextmanager
async def candidate(
    redis: RedisServer, lease: float = 60.0, realm: str = "corp", **options: str
) -> AsyncIterator[Candidate]:
    clock = FakeClock()
    async with open_redis(redis.url, options, KEYS.prefix, 5.0) as client:
        leader = RedisLeader(client, KEYS, realm, lease, clock)
        yield Candidate(leader, RedisAccountStore(client, KEYS, leader.number), clock)


async def test_one_leads_and_the_others_wait_until_it_resigns(redis: RedisServer) -> None:
    async with candidate(redis) as first, candidate(redis) as second:
        assert not first.leader.is_leading()
        await first.leader.campaign()
        await second.leader.campaign()
        assert first.leader.is_leading()
        assert not second.leader.is_leading()

        await first.leader.campaign()
        await second.leader.resign()
        assert first.leader.is_leading()

        await first.leader.resign()
        await second.leader.campaign()
        assert not first.leader.is_leading()
        assert second.leader.is_leading()


async def test_of_many_who_campaign_at_once_exactly_one_leads(redis: RedisServer) -> None:
    async with AsyncExitStack() as stack:
        everybody = [await stack.enter_async_context(candidate(redis)) for _ in range(8)]
        for each in everybody:
            await each.store.list("corp")  # connected: they meet in the election itself
        await asyncio.gather(*(each.leader.campaign() for each in everybody))

        assert sum(each.leader.is_leading() for each in everybody) == 1


async def test_realms_are_led_each_by_itself(redis: RedisServer) -> None:
    async with candidate(redis) as first, candidate(redis, realm="other") as second:
        await first.leader.campaign()
        await second.leader.campaign()

        assert first.leader.is_leading()
        assert second.leader.is_leading()


async def test_a_lead_that_is_not_kept_up_ends_here_and_in_the_store(redis: RedisServer) -> None:
    async with candidate(redis, lease=0.2) as first, candidate(redis) as second:
        await first.leader.campaign()
        first.clock.advance(0.2)
        assert not first.leader.is_leading()

        async def takes_over() -> bool:
            await second.leader.campaign()
            return second.leader.is_leading()

        await until_async(takes_over)
        await first.leader.campaign()
        assert not first.leader.is_leading()


async def test_keeping_the_lead_keeps_its_number_and_each_later_one_is_higher(
    redis: RedisServer,
) -> None:
    async with candidate(redis) as first, candidate(redis) as second:
        await first.leader.campaign()
        won = first.leader.number()
        await first.leader.campaign()
        assert first.leader.number() == won

        await first.leader.resign()
        second.clock.step(-3600)
        await second.leader.campaign()
        assert won is not None
        assert (second.leader.number() or 0) > won


async def test_the_number_grows_past_a_store_that_was_emptied(redis: RedisServer) -> None:
    async with candidate(redis) as paused, candidate(redis) as next_one:
        await paused.leader.campaign()
        await redis.command("FLUSHALL")
        next_one.clock.advance(1)
        await next_one.leader.campaign()

        assert (next_one.leader.number() or 0) > (paused.leader.number() or 0)


async def test_a_lead_that_went_with_the_stores_data_ends_before_it_is_won_anew(
    redis: RedisServer,
) -> None:
    """Else what was planned on one store would be written to another."""
    async with candidate(redis) as first:
        await first.leader.campaign()
        await redis.command("FLUSHALL")

        await first.leader.campaign()
        assert not first.leader.is_leading()
        with pytest.raises(Superseded):
            await first.store.put(ALICE, ACCOUNT, expected=None)
        await first.leader.campaign()
        assert first.leader.is_leading()
        assert await first.store.put(ALICE, ACCOUNT, expected=None)


@pytest.mark.parametrize("garbage", ["", "-1", "x", "²"])
async def test_a_number_that_is_none_is_made_anew(redis: RedisServer, garbage: str) -> None:
    async with candidate(redis) as first:
        await redis.command("SET", FENCE, garbage)
        await first.leader.campaign()
        assert first.leader.is_leading()

        await redis.command("SET", FENCE, garbage)
        await first.leader.campaign()
        assert await first.store.put(ALICE, ACCOUNT, expected=None)


async def test_who_was_paused_while_another_came_to_lead_writes_nothing(
    redis: RedisServer,
) -> None:
    """Its own clock may say that its lease still lasts."""
    async with candidate(redis) as paused, candidate(redis) as successor:
        await paused.leader.campaign()
        assert await paused.store.put(ALICE, ACCOUNT, expected=None)
        await redis.command("DEL", LEADER)
        await successor.leader.campaign()

        with pytest.raises(Superseded):
            await paused.store.put(SubjectKey("corp", "bob"), ACCOUNT, expected=None)
        with pytest.raises(Superseded):
            await paused.store.delete(ALICE)
        assert await successor.store.delete(ALICE)


async def test_who_never_led_writes_nothing(redis: RedisServer) -> None:
    async with candidate(redis) as nobody:
        with pytest.raises(Superseded):
            await nobody.store.put(ALICE, ACCOUNT, expected=None)


async def test_a_store_that_does_not_answer_elects_nobody_and_takes_no_lead_away(
    redis: RedisServer,
) -> None:
    async with candidate(redis) as first, candidate(redis) as second:
        await first.leader.campaign()
        await redis.stop()

        with pytest.raises(StatusUnavailable):
            await first.leader.campaign()
        with pytest.raises(StatusUnavailable):
            await second.leader.campaign()
        assert first.leader.is_leading()
        assert not second.leader.is_leading()
        await first.leader.resign()
        assert not first.leader.is_leading()


async def test_the_rights_in_the_readme_are_enough_to_lead_and_to_write(
    redis: RedisServer,
) -> None:
    named = re.findall("`(.+?)`", PAGE.read_text().replace("\\|", "|"))
    assert {READS, SYNCS} <= set(named)
    rights = (*READS.split(), *SYNCS.split())
    await redis.command("ACL", "SETUSER", "sidecar", "on", ">secret", *rights)
    async with candidate(redis, username="sidecar", password="secret") as first:
        await first.leader.campaign()
        await first.leader.campaign()
        stored = await first.store.put(ALICE, ACCOUNT, expected=None)
        assert stored is not None
        assert await first.store.put(
            ALICE, Account("1", "alice", "B", (), AccountStatus.INACTIVE), expected=stored
        )
        assert len(await first.store.list("corp")) == 1
        await first.leader.resign()
        assert await redis.command("EXISTS", LEADER) == 0
