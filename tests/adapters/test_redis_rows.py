"""Rows of the threat matrix that no other file has: R5, R6, R8, R14 to R16.

A Redis that is stopped, far away, loses its clients or comes back to all of them at once; callers
that leave in the middle; and writers that do not agree.
"""

import asyncio
import random
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from redis.asyncio import Redis

from sidecar.adapters.account_keys import AccountKeys
from sidecar.adapters.clock import SystemClock
from sidecar.adapters.redis_accounts import RedisAccountView
from sidecar.adapters.redis_push import connection_for
from sidecar.adapters.redis_store import RedisAccountStore, open_redis_store
from sidecar.adapters.view_policy import ViewPolicy
from sidecar.authorize import Authorizer
from sidecar.core.decision import Deny, DenyReason, Grant
from sidecar.core.request import AccessRequest
from sidecar.core.routes import Routes
from sidecar.core.subject import Account, AccountStatus, Standing, SubjectKey
from sidecar.core.verified_tokens import VerifiedTokens
from sidecar.demo.redis_server import RedisServer
from sidecar.ports import StatusUnavailable, ViewEvent
from sidecar.rules import Rules
from tests.adapters.test_redis_accounts import ALICE, PATIENT, Seen, running_view
from tests.adapters.test_view_model import SUBJECTS, Steady
from tests.chaos.tcp_proxy import TcpProxy
from tests.fakes.observer import RecordingObserver
from tests.fakes.simulated_redis import SimulatedConnection, SimulatedRedis
from tests.fakes.virtual_time import VirtualLoop
from tests.fakes.waiting import until
from tests.fakes.world import ISSUERS, ROBOT, ROUTES, World

BOB = SubjectKey("default", "bob")
KEYS = AccountKeys()
KILL = ("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")


def status_of(standing: Standing) -> str:
    return "unknown" if standing.account is None else str(standing.account.status)


@pytest.mark.parametrize("strict", [False, True])
def test_nobody_waits_long_for_a_redis_that_is_stopped(*, strict: bool) -> None:
    """R5, for 30 s. Whoever asks, and when: an answer within 100 ms, and that of a closed door."""
    loop = VirtualLoop()
    redis = SimulatedRedis(loop.world)
    waits: list[float] = []

    async def ask(view: RedisAccountView, number: int) -> None:
        began = loop.time()
        with pytest.raises(StatusUnavailable):
            await view.read(SUBJECTS[0], f"j-{number}")
        waits.append(loop.time() - began)

    async def live() -> None:
        policy = ViewPolicy(strict=strict)
        view = RedisAccountView(
            lambda: SimulatedConnection(redis),  # type: ignore[arg-type, return-value]
            KEYS,
            policy,
            Steady(loop),
            RecordingObserver(),
        )
        async with asyncio.TaskGroup() as tasks:
            run = tasks.create_task(view.run())
            await asyncio.sleep(1.0)
            assert view.is_live()
            stopped_at = loop.time()
            redis.freeze()
            for number in range(3000):
                tasks.create_task(ask(view, number))
                await asyncio.sleep(0.01)
                late = loop.time() > stopped_at + policy.max_staleness
                assert not (late and view.is_live())
            redis.thaw()
            await asyncio.sleep(2.0)
            assert view.is_live()
            await view.read(SUBJECTS[0], None)
            run.cancel()

    try:
        loop.run_until_complete(live())
    finally:
        loop.close()
    assert len(waits) == 3000
    assert max(waits) <= 0.1


async def until_granted(
    times: int, authorizer: Authorizer, view: RedisAccountView, request: AccessRequest
) -> None:
    """Ask until so many are granted: each time that the view knows the account, at once.

    On a machine that is busy the lease may lapse between two, and what was known is forgotten.
    """
    for _ in range(10 * times):
        await until(view.is_live)
        with suppress(StatusUnavailable):
            await view.read(ROBOT, None)
        await asyncio.sleep(0.002)
        if view.is_live() and view.look_up(ROBOT, None) is not None:
            assert isinstance(authorizer.authorize_now(request), Grant)
            times -= 1
        if times == 0:
            return
    pytest.fail("the account was hardly ever known")


async def until_denied_for_good(
    times: int, authorizer: Authorizer, view: RedisAccountView, request: AccessRequest
) -> None:
    """Ask until so many in a row are denied, at once.

    What was under way when the distance grew may make the view live once more.
    """
    denied = 0
    async with asyncio.timeout(20):
        while denied < times:
            was_live, decision = view.is_live(), authorizer.authorize_now(request)
            if isinstance(decision, Deny):
                assert decision.reason is DenyReason.STATUS_UNAVAILABLE
                denied += 1
            else:
                assert was_live
                denied = 0
            await asyncio.sleep(0.01)


async def test_a_redis_far_away_costs_nothing_while_it_can_be_believed_and_then_is_not(
    redis: RedisServer,
) -> None:
    """R6, by a round trip of 5, 50 and 500 ms: decided at once each time, on what is at hand."""
    await redis.command("HSET", KEYS.account(ROBOT), "status", "active")
    world, policy = World(), ViewPolicy(read_timeout=1.0)
    async with (
        TcpProxy(redis.port) as proxy,
        running_view(f"redis://127.0.0.1:{proxy.port}/0", policy) as view,
    ):
        rules = Rules(Routes(ROUTES), {each.name: each for each in ISSUERS})
        authorizer = Authorizer(
            rules, world.keys, view, world.clock, VerifiedTokens(8), RecordingObserver()
        )
        request = world.request(token=world.sign())
        for round_trip in (0.005, 0.05):
            proxy.delay = round_trip / 2
            await until_granted(20, authorizer, view, request)

        proxy.delay = 0.5 / 2
        await until_denied_for_good(50, authorizer, view, request)
        proxy.heal()
        await until(view.is_live)


async def revoke_beside_kills(redis: RedisServer, trials: int) -> list[float]:
    """Change an account as often, with the view's connection killed before, after and around it.

    Return the seconds from each write's answer until the view says so: by what it heard or reads,
    since its lease does not lapse here.
    """
    seconds: list[float] = []
    loop = asyncio.get_running_loop()
    async with (
        running_view(redis.url, replace(PATIENT, max_backoff=0.002)) as view,
        Redis.from_url(redis.url) as writer,
    ):
        await until(view.is_live)
        for turn in range(trials):
            status = "active" if turn % 2 else "inactive"
            write = ("HSET", KEYS.account(ALICE), "status", status)
            pipeline: Any = writer.pipeline(transaction=False)
            for command in ((KILL, write), (write, KILL), (KILL, write, KILL))[turn % 3]:
                pipeline.execute_command(*command)
            await pipeline.execute()
            began = loop.time()
            if turn % 5 == 0:
                await asyncio.sleep(turn % 7 / 1000)  # in the midst of the next connection's start
                await pipeline.execute_command(*KILL)
                await pipeline.execute()
            await settles(view, status)
            seconds.append(loop.time() - began)
    return seconds


async def ask(view: RedisAccountView, subject: SubjectKey) -> str:
    """Return the status of a subject as a request would learn it, or a word for none."""
    standing = view.look_up(subject, None)
    if standing is None:
        try:
            standing = await view.read(subject, None)
        except StatusUnavailable:
            return "unavailable"
    return status_of(standing)


async def settles(view: RedisAccountView, status: str) -> None:
    """Wait until the view says so of ALICE."""
    async with asyncio.timeout(10):
        while await ask(view, ALICE) != status:  # noqa: ASYNC110 - it is Redis that changes it
            await asyncio.sleep(0.001)


async def test_a_change_beside_a_killed_connection_is_never_missed(redis: RedisServer) -> None:
    """R8. Subscribe first, then read: else what was written in the gap is never heard of."""
    assert len(await revoke_beside_kills(redis, 1000)) == 1000


async def leave_in_the_middle(redis: RedisServer, reads: int, *, strict: bool) -> tuple[int, int]:
    """Read one subject beside another as often, and leave at different moments.

    Return how many had asked when they left, and how many of all answers were of another subject.
    """
    left = wrong = 0
    for key, status in ((ALICE, "active"), (BOB, "inactive")):
        await redis.command("HSET", KEYS.account(key), "id", key.subject, "status", status)
    async with running_view(redis.url, replace(PATIENT, strict=strict)) as view:
        await until(view.is_live)

        async def read(key: SubjectKey, token_id: str) -> None:
            nonlocal left, wrong
            try:
                standing = await view.read(key, token_id)
            except asyncio.CancelledError:
                left += 1
                raise
            wrong += standing.account is None or standing.account.id != key.subject

        for turn in range(reads):
            leaver, stayer = (ALICE, BOB) if turn % 2 else (BOB, ALICE)
            async with asyncio.TaskGroup() as tasks:
                leaving = tasks.create_task(read(leaver, f"l-{turn}"))
                tasks.create_task(read(stayer, f"s-{turn}"))
                for _ in range(turn % 4):
                    await asyncio.sleep(0)
                leaving.cancel()
    return left, wrong


@pytest.mark.parametrize("strict", [False, True])
async def test_who_leaves_in_the_middle_leaves_nobody_a_wrong_answer(
    redis: RedisServer, *, strict: bool
) -> None:
    """R14, redis-py CVE-2023-28858: the reply to a cancelled command went to the next caller."""
    left, wrong = await leave_in_the_middle(redis, 2000, strict=strict)

    assert left > 1000
    assert wrong == 0


class Pauses:
    """Takes a tenth of the time, and notes what was asked for."""

    ENOUGH = 12

    def __init__(self) -> None:
        self.seconds: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)
        await asyncio.sleep(seconds / 10)


async def test_all_who_come_back_at_once_take_one_connection_each(redis: RedisServer) -> None:
    """R15: four workers. Each waits a while that is its own, at most a second."""
    pauses = [Pauses() for _ in range(4)]
    views = [
        RedisAccountView(
            lambda: connection_for(redis.url, {}),
            KEYS,
            PATIENT,
            SystemClock(),
            RecordingObserver(),
            sleep=sleep,
        )
        for sleep in pauses
    ]
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(view.run()) for view in views]
        await until(lambda: all(view.is_live() for view in views))
        await redis.kill()
        for each in pauses:
            each.seconds.clear()
        await until(lambda: all(len(each.seconds) >= Pauses.ENOUGH for each in pauses))
        await redis.restart()
        await until(lambda: all(view._connection is not None for view in views))

        assert len(await connections(redis)) == 4
        for task in running:
            task.cancel()
    waited = [each.seconds[: Pauses.ENOUGH] for each in pauses]
    assert all(0.5 <= each[-1] <= 1.0 for each in waited)
    assert len({each[-1] for each in waited}) == 4


async def connections(redis: RedisServer) -> list[str]:
    """Return those of others."""
    listed = str(await redis.command("CLIENT", "LIST", "TYPE", "normal"))
    return [each for each in listed.splitlines() if "cmd=client|list" not in each]


async def flap(store: RedisAccountStore, redis: Redis, number: int) -> None:
    """Change the account thirty times, with others at the same time, each in its own way."""
    for turn in range(30):
        status = random.choice(list(AccountStatus))  # noqa: S311
        if number % 2:
            await redis.hset(KEYS.account(ALICE), "status", status)
            continue
        found = await store.get(ALICE)
        account = Account("1", "alice", f"{number} {turn}", (), status)
        await store.put(ALICE, account, expected=found)


async def test_writers_that_do_not_agree_leave_what_the_last_one_wrote(redis: RedisServer) -> None:
    """R16: ten of them. The view says what is stored, and the revision never goes back."""
    revisions: list[int] = []
    seen = Seen()
    async with (
        running_view(redis.url, PATIENT, seen) as view,
        open_redis_store(redis.url, {}, KEYS, 5.0) as store,
        Redis.from_url(redis.url) as plain,
    ):
        await until(view.is_live)
        for _ in range(5):
            async with asyncio.TaskGroup() as tasks:
                writers = [tasks.create_task(flap(store, plain, each)) for each in range(10)]
                while not all(each.done() for each in writers):
                    await ask(view, ALICE)
                    revisions.append(view._revision.seen.revision or 0)
                    await asyncio.sleep(0.001)
            stored = await store.get(ALICE)
            assert stored is not None
            await settles(view, stored.status)
        written = (await store.mark()).revision
        await until(lambda: view._revision.seen.revision == written)

    assert revisions == sorted(revisions)
    assert revisions[-1] > 100
    assert ViewEvent.ROLLED_BACK not in seen.observer.view_events
