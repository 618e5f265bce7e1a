"""The accounts in a Cluster: in one slot, and followed wherever that goes."""

import asyncio
from typing import Any

import pytest
from redis.crc import key_slot

from sidecar.adapters.account_keys import AccountKeys
from sidecar.adapters.clock import SystemClock
from sidecar.adapters.redis_client import open_redis
from sidecar.adapters.redis_last_use import RedisLastUse
from sidecar.adapters.redis_leader import RedisLeader
from sidecar.adapters.redis_store import RedisAccountStore, open_redis_store
from sidecar.core.last_use import LastUse, UseRecord
from sidecar.demo.redis_server import RedisServer
from sidecar.ports import Superseded
from tests.adapters.test_sentinel import ALICE, BOB, Traffic, active, following_view, inactive
from tests.fakes.fleet import cluster
from tests.fakes.waiting import until

pytestmark = pytest.mark.e2e

PREFIX = "{sidecar}:"
KEYS = AccountKeys(PREFIX)
SLOT = key_slot(PREFIX.encode())


async def owner(nodes: Any) -> int:
    """Return which node says that it owns the slot."""
    for number, node in enumerate(nodes):
        for first, last, (_, port, *_), *_ in await node.command("CLUSTER", "SLOTS"):
            if first <= SLOT <= last:
                found = [each for each, other in enumerate(nodes) if other.port == port]
                return found[0] if found else number
    raise AssertionError("nobody owns the slot")


async def is_inactive(traffic: Traffic) -> None:
    def known() -> bool:
        found = traffic.view.look_up(ALICE, None)
        return found is not None and found.account == inactive(ALICE)

    await until(known, 20.0)


async def migrate(source: RedisServer, target: RedisServer, names: tuple[str, str]) -> None:
    """Move the slot and its keys as `--cluster reshard` does."""
    source_id, target_id = names
    await target.command("CLUSTER", "SETSLOT", SLOT, "IMPORTING", source_id)
    await source.command("CLUSTER", "SETSLOT", SLOT, "MIGRATING", target_id)
    await asyncio.sleep(0.3)  # the slot is on its way, and its keys are still there
    keys: Any = await source.command("CLUSTER", "GETKEYSINSLOT", SLOT, 1000)
    for key in keys:
        await source.command("MIGRATE", "127.0.0.1", target.port, key, 0, 5000)
        await asyncio.sleep(0.1)
    for node in (target, source):
        await node.command("CLUSTER", "SETSLOT", SLOT, "NODE", target_id)


async def test_a_slot_is_followed_where_it_goes() -> None:
    async with (
        cluster(3) as nodes,
        open_redis_store(nodes.url, {}, KEYS, 2.0) as store,
        following_view(nodes.url, PREFIX) as traffic,
    ):
        await store.put(ALICE, active(ALICE), expected=None)
        await store.put(BOB, inactive(BOB), expected=None)
        await traffic.grants_alice()

        source = await owner(nodes.nodes)
        target = (source + 1) % 3
        ids = await nodes.ids()
        await migrate(nodes.nodes[source], nodes.nodes[target], (ids[source], ids[target]))
        await asyncio.sleep(2.0)
        await traffic.grants_alice()

        assert await owner(nodes.nodes) == target
        assert await store.put(ALICE, inactive(ALICE), expected=active(ALICE))
        await is_inactive(traffic)
        assert await nodes.nodes[target].command("EXISTS", KEYS.account(ALICE)) == 1
        assert traffic.granted == {"alice"}


async def test_the_last_use_is_recorded_beside_the_accounts() -> None:
    async with (
        cluster(3) as nodes,
        open_redis_store(nodes.url, {}, KEYS, 2.0) as store,
        open_redis(nodes.url, {}, PREFIX, 2.0) as client,
    ):
        await store.put(ALICE, active(ALICE), expected=None)
        last_use = RedisLastUse(client, KEYS)
        await last_use.add(ALICE.realm, {ALICE: LastUse(5.0, 2), BOB: LastUse(5.0, 1)}, 1.0)

        found = await last_use.read(ALICE.realm, [ALICE.subject, BOB.subject])
        assert found == UseRecord(1.0, {ALICE.subject: LastUse(5.0, 2)})
        assert await store.delete(ALICE)
        assert await last_use.read(ALICE.realm, [ALICE.subject]) == UseRecord(1.0, {})


async def test_a_dead_primary_of_the_slot_is_followed_by_its_replica(
    record_property: Any,
) -> None:
    async with (
        cluster(3, replicas_of_first=1) as nodes,
        open_redis_store(nodes.url, {}, KEYS, 2.0) as store,
        following_view(nodes.url, PREFIX) as traffic,
    ):
        first, replica = nodes.nodes[0], nodes.nodes[3]
        home = await owner(nodes.nodes)
        if home != 0:
            ids = await nodes.ids()
            await migrate(nodes.nodes[home], first, (ids[home], ids[0]))
        await store.put(ALICE, active(ALICE), expected=None)
        await store.put(BOB, active(BOB), expected=None)
        await traffic.grants_alice()
        await store.put(BOB, inactive(BOB), expected=active(BOB))
        assert await first.command("WAIT", 1, 5000) == 1
        await traffic.grants_alice()

        began = SystemClock().steady()
        await first.kill()
        await traffic.moves()
        await traffic.grants_alice()
        took = SystemClock().steady() - began

        assert traffic.granted == {"alice"}
        record_property("recovery_seconds", took)
        assert took < 20
        assert await store.put(ALICE, inactive(ALICE), expected=active(ALICE))
        await is_inactive(traffic)
        assert await replica.command("EXISTS", KEYS.account(ALICE)) == 1


async def test_one_of_several_leads_and_its_writes_are_fenced() -> None:
    async with (
        cluster(3) as nodes,
        open_redis(nodes.url, {}, KEYS.prefix, 2.0) as client,
        open_redis(nodes.url, {}, KEYS.prefix, 2.0) as other,
    ):
        first, second = (
            RedisLeader(each, KEYS, ALICE.realm, 30.0, SystemClock()) for each in (client, other)
        )
        await first.campaign()
        await second.campaign()
        assert (first.is_leading(), second.is_leading()) == (True, False)
        store = RedisAccountStore(client, KEYS, first.number)
        assert await store.put(ALICE, active(ALICE), expected=None)
        with pytest.raises(Superseded):
            await RedisAccountStore(other, KEYS, second.number).delete(ALICE)
