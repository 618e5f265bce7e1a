"""D5 and K13: the wall clock is set by an hour while it all runs.

A token's dates are the wall clock's, whatever that says; everything else goes by a clock that
nobody sets. So nothing else ends early or late, and nothing stays wrong after the step is taken
back.
"""

import asyncio
from fractions import Fraction

import pytest

from sidecar.adapters.account_keys import AccountKeys
from sidecar.adapters.redis_accounts import RedisAccountView
from sidecar.adapters.redis_push import connection_for
from sidecar.adapters.view_policy import ViewPolicy
from sidecar.core.decision import Grant
from sidecar.core.rate_limit import Buckets
from sidecar.demo.redis_server import RedisServer
from sidecar.ports import CutReason, StreamKind
from sidecar.stream_guard import StreamGuard
from sidecar.streams import Streams
from tests.fakes.clock import FakeClock
from tests.fakes.observer import RecordingObserver
from tests.fakes.waiting import until
from tests.fakes.world import ISSUER, NOW, World

HOUR = 3600.0
LEEWAY = 30.0
LEASE = ViewPolicy(max_staleness=0.5, timeout=10.0, read_timeout=10.0, heartbeat=0.05)
each_step = pytest.mark.parametrize("step", [HOUR, -HOUR], ids=["forth", "back"])


def is_granted(world: World, token: str) -> bool:
    return isinstance(world.ask("GET", "/reports", token=token), Grant)


@each_step
def test_a_token_good_for_days_is_granted_on_either_side_of_a_step(step: float) -> None:
    world = World()
    token = world.sign(iat=NOW - 7200, nbf=NOW - 7200, exp=NOW + 86_400)
    assert is_granted(world, token)
    world.clock.step(step)

    assert is_granted(world, token)


def test_a_token_that_a_step_made_expire_is_good_again_when_it_is_taken_back() -> None:
    world = World()
    token = world.sign(exp=NOW + 600)
    assert is_granted(world, token)
    world.clock.step(HOUR)
    assert not is_granted(world, token)
    world.clock.step(-HOUR)
    assert is_granted(world, token)
    world.clock.advance(601.0)

    assert not is_granted(world, token)


@each_step
async def test_an_open_stream_ends_by_its_tokens_date_and_its_leeway_alone(step: float) -> None:
    world, cuts = World(), list[CutReason]()
    streams = Streams(RecordingObserver())
    guard = StreamGuard(streams, world.accounts, world.clock, {ISSUER: LEEWAY})
    grant = world.ask("GET", "/reports", token=world.sign(iat=NOW - 7200, exp=NOW + 7200))
    assert isinstance(grant, Grant)
    with streams.registered(grant, StreamKind.HTTP, cuts.append):
        world.clock.step(step)
        world.clock.advance(7200 - step + LEEWAY - 1)
        await guard.cut_expired()
        assert cuts == []
        world.clock.advance(1)
        await guard.cut_expired()

    assert cuts == [CutReason.EXPIRED]


@each_step
async def test_the_lease_of_the_account_view_is_neither_shortened_nor_extended(step: float) -> None:
    clock = FakeClock()
    async with RedisServer() as redis, asyncio.TaskGroup() as tasks:
        view = RedisAccountView(
            lambda: connection_for(redis.url, {}), AccountKeys(), LEASE, clock, RecordingObserver()
        )
        running = tasks.create_task(view.run())
        await until(view.is_live)
        clock.step(step)
        assert view.is_live()
        redis.pause()
        clock.advance(LEASE.max_staleness + 0.1)
        assert not view.is_live()
        redis.resume()
        await until(view.is_live)
        running.cancel()


@each_step
def test_a_budget_is_neither_filled_up_nor_kept_empty(step: float) -> None:
    clock, buckets = FakeClock(), Buckets(Fraction(1), 1, 10)
    assert buckets.take("robot", clock.steady()) == 0
    clock.step(step)
    assert buckets.take("robot", clock.steady()) == 1
    clock.advance(1.0)

    assert buckets.take("robot", clock.steady()) == 0
