"""Another server becomes the primary, under load: by Sentinel and in a Cluster.

What holds for every fault (``test_faults``) holds here. ``back ms`` in the table counts from the
moment at which the sentinels or the nodes named the new primary to the first grant.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from sidecar.adapters.account_keys import AccountKeys
from sidecar.adapters.redis_store import RedisAccountStore, open_redis_store
from sidecar.adapters.store_revision import make_epoch
from sidecar.core.subject import Account, AccountStatus, SubjectKey
from sidecar.demo.redis_server import RedisServer
from tests.adapters.test_cluster import PREFIX, migrate, owner
from tests.chaos.arena import LEAVING, STAYING, Scene, under_load
from tests.chaos.figures import FIGURES
from tests.fakes.fleet import Cluster, Watched, cluster, watched_redis
from tests.fakes.waiting import until, until_async

ROUNDS = int(os.environ.get("CHAOS_ROUNDS", "1"))
PER_SECOND = 250.0  # of each of the two subjects
FAILOVER_SECONDS = 30.0

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(120),
    pytest.mark.parametrize("turn", range(ROUNDS)),
]


@asynccontextmanager
async def watched_scene(directory: Path) -> AsyncIterator[tuple[Watched, Scene]]:
    async with (
        watched_redis() as watched,
        under_load(directory, {"url": watched.url}, PER_SECOND) as load,
    ):
        yield watched, Scene(watched.primary, load)


@asynccontextmanager
async def cluster_scene(
    directory: Path, replicas_of_first: int
) -> AsyncIterator[tuple[Cluster, Scene]]:
    """Three primaries; the first has the accounts."""
    async with cluster(3, replicas_of_first) as made:
        home = await owner(made.nodes)
        if home != 0:
            ids = await made.ids()
            await migrate(made.nodes[home], made.nodes[0], (ids[home], ids[0]))
        accounts = {"url": made.url, "prefix": PREFIX}
        async with under_load(directory, accounts, PER_SECOND) as load:
            yield made, Scene(made.nodes[0], load, PREFIX)


async def is_named(watched: Watched, server: RedisServer) -> bool:
    """Say whether all sentinels name ``server``, and none is still about it."""
    said = [await each.fields() for each in watched.sentinels]
    return all(int(each["port"]) == server.port and each["flags"] == "master" for each in said)


async def successor(watched: Watched, scene: Scene) -> None:
    await until_async(lambda: is_named(watched, watched.replica), FAILOVER_SECONDS)
    scene.redis, scene.back_at = watched.replica, scene.now


async def has_replica(server: RedisServer) -> None:
    """Wait until what was written is on the replica too: only then it survives a fail-over."""
    assert await server.command("WAIT", 1, 3000) == 1


async def finish(scene: Scene, name: str, request: pytest.FixtureRequest) -> None:
    await scene.end()
    request.config.stash[FIGURES].append(scene.judge(name, forgets=False))


async def test_a_killed_primary_is_followed_by_the_one_that_the_sentinels_choose(
    tmp_path: Path, request: pytest.FixtureRequest, turn: int
) -> None:
    async with watched_scene(tmp_path) as (watched, scene), asyncio.TaskGroup() as tasks:
        await scene.begin(tasks)
        await scene.disable()
        await has_replica(watched.primary)
        await watched.primary.kill()
        await successor(watched, scene)
        await finish(scene, f"sentinel: primary killed {turn}", request)


async def test_a_primary_that_comes_back_after_its_successor_is_not_believed(
    tmp_path: Path, request: pytest.FixtureRequest, turn: int
) -> None:
    """Split brain: the old one holds the account active, and itself for the primary."""
    async with watched_scene(tmp_path) as (watched, scene), asyncio.TaskGroup() as tasks:
        await scene.begin(tasks)
        await has_replica(watched.primary)
        watched.primary.pause()
        await successor(watched, scene)
        await scene.disable()
        watched.primary.resume()
        name = "sidecar:account:default:" + LEAVING
        assert await watched.primary.command("HGET", name, "status") == "active"
        await asyncio.sleep(2.0)  # as long as the old one may hold its view, and more
        await finish(scene, f"sentinel: stale primary {turn}", request)


def account(subject: str) -> Account:
    return Account(subject, subject, "", (), AccountStatus.ACTIVE)


async def shut_out(store: RedisAccountStore) -> None:
    active = account(LEAVING)
    inactive = replace(active, status=AccountStatus.INACTIVE)
    assert await store.put(SubjectKey("default", LEAVING), inactive, expected=active)


async def cut_replication(watched: Watched) -> None:
    """Let the replica be refused by the primary, and the sentinels see both as before."""
    await watched.replica.command("CONFIG", "SET", "masteruser", "nobody")
    await watched.replica.command("CONFIG", "SET", "masterauth", "nothing")
    await watched.primary.command("CLIENT", "KILL", "TYPE", "replica")


async def test_a_write_that_the_fail_over_lost_lets_nobody_in_until_it_is_confirmed(
    tmp_path: Path, request: pytest.FixtureRequest, turn: int
) -> None:
    """The old primary alone had acknowledged it; on the new one the account is active."""
    async with (
        watched_scene(tmp_path) as (watched, scene),
        open_redis_store(watched.url, {}, AccountKeys(), 2.0) as store,
        asyncio.TaskGroup() as tasks,
    ):
        for subject in (STAYING, LEAVING):
            key = SubjectKey("default", subject)
            assert await store.put(key, account(subject), expected=None)
        await scene.begin(tasks)
        await has_replica(watched.primary)
        await cut_replication(watched)
        await shut_out(store)
        scene.gone_at = scene.now
        await until(lambda: scene.stream.ended is not None)
        await asyncio.sleep(0.3)  # several heartbeats: the revision is seen
        await watched.primary.kill()
        await successor(watched, scene)
        name = "sidecar:account:default:" + LEAVING
        assert await watched.replica.command("HGET", name, "status") == "active"
        await scene.blind_for(2.0)
        judged = [each for each in scene.load.answers if each.sent > scene.back_at + 1.0]
        assert {each.status for each in judged} == {503}

        await shut_out(store)
        scene.back_at = scene.now
        await store.confirm(make_epoch(1000.0, "x"))
        await finish(scene, f"sentinel: lost write {turn}", request)


async def test_a_slot_that_moves_takes_its_accounts_along(
    tmp_path: Path, request: pytest.FixtureRequest, turn: int
) -> None:
    async with cluster_scene(tmp_path, 0) as (made, scene), asyncio.TaskGroup() as tasks:
        await scene.begin(tasks)
        ids = await made.ids()
        moving = tasks.create_task(migrate(made.nodes[0], made.nodes[1], (ids[0], ids[1])))
        await asyncio.sleep(0.1)  # on its way, and the keys still here
        await scene.disable()
        await moving
        assert await owner(made.nodes) == 1
        scene.redis, scene.back_at = made.nodes[1], scene.now
        await finish(scene, f"cluster: slot moved {turn}", request)


async def test_a_lost_primary_of_the_slot_is_followed_by_its_replica(
    tmp_path: Path, request: pytest.FixtureRequest, turn: int
) -> None:
    async with cluster_scene(tmp_path, 1) as (made, scene), asyncio.TaskGroup() as tasks:
        await scene.begin(tasks)
        await scene.disable()
        await has_replica(made.nodes[0])
        await made.nodes[0].kill()

        async def replica_owns() -> bool:
            return await owner(made.nodes[1:]) == 2

        await until_async(replica_owns, FAILOVER_SECONDS)
        scene.redis, scene.back_at = made.nodes[3], scene.now
        await finish(scene, f"cluster: primary killed {turn}", request)
