"""How long the view waits before it tries to connect again."""

import asyncio

import pytest
from redis.asyncio.connection import AbstractConnection

from sidecar.adapters.account_keys import AccountKeys
from sidecar.adapters.clock import SystemClock
from sidecar.adapters.redis_accounts import RedisAccountView
from sidecar.adapters.view_policy import ViewPolicy
from sidecar.ports import StatusUnavailable
from tests.fakes.observer import RecordingObserver

TRIES = 60
# Twice 0.02 at the first failure, and no more than ``max_backoff``.
CEILINGS = [min(1.0, 0.02 * 2 ** min(failures, 10)) for failures in range(1, TRIES + 1)]


def refuse() -> AbstractConnection:
    raise StatusUnavailable("nobody listens")


async def pauses(policy: ViewPolicy) -> list[float]:
    """Return how long a view waits before each of its tries, where Redis is away."""
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) == TRIES:
            raise asyncio.CancelledError

    view = RedisAccountView(
        refuse, AccountKeys(), policy, SystemClock(), RecordingObserver(), sleep=sleep
    )
    with pytest.raises(asyncio.CancelledError):
        await view.run()
    return waited


async def test_each_failure_doubles_the_pause_up_to_a_second_with_jitter() -> None:
    waited = await pauses(ViewPolicy())

    for pause, ceiling in zip(waited, CEILINGS, strict=True):
        assert ceiling / 2 <= pause <= ceiling
    assert len(set(waited)) > 1


async def test_a_large_fleet_spreads_its_attempts_from_the_first_on() -> None:
    waited = await pauses(ViewPolicy(spread=8.0))
    added = [pause - ceiling for pause, ceiling in zip(waited, CEILINGS, strict=True)]

    for more, ceiling in zip(added, CEILINGS, strict=True):
        assert -ceiling / 2 <= more <= 8.0
    # By chance, and over all of it: of sixty, none in a half is rarer than anything.
    assert min(added) < 4.0 < max(added)


async def test_the_first_attempts_of_a_large_fleet_are_spread_too() -> None:
    first = [(await pauses(ViewPolicy(spread=8.0)))[0] for _ in range(40)]

    assert min(first) < 4.0 < max(first)
