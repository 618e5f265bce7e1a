"""Rows of the threat matrix that no other file has: R5, a Redis that is stopped."""

import asyncio

import pytest

from sidecar.adapters.account_keys import AccountKeys
from sidecar.adapters.redis_accounts import RedisAccountView, ViewPolicy
from sidecar.ports import StatusUnavailable
from tests.adapters.test_view_model import SUBJECTS, Steady
from tests.fakes.observer import RecordingObserver
from tests.fakes.simulated_redis import SimulatedConnection, SimulatedRedis
from tests.fakes.virtual_time import VirtualLoop


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
            AccountKeys(),
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
