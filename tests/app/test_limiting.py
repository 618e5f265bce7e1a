"""Limits are made where settings ask for them, and cost nothing where they do not."""

from fractions import Fraction
from pathlib import Path
from typing import Any

from sidecar.adapters.clock import SystemClock
from sidecar.admission import Limiter
from sidecar.app.limiting import admitting, make_limiter
from sidecar.app.observing import observing
from sidecar.demo.redis_server import RedisServer
from sidecar.streams import Streams
from tests.app.test_parts import settings
from tests.fakes.observer import RecordingObserver
from tests.fakes.waiting import until


def made(directory: Path, **sections: Any) -> Limiter | None:
    return make_limiter(settings(directory, **sections))


def test_without_a_limit_there_is_no_limiter(tmp_path: Path) -> None:
    assert made(tmp_path) is None


def test_accounts_are_held_to_the_limit_and_open_routes_to_theirs(tmp_path: Path) -> None:
    limits = {"requests_per_second": 5, "open_routes": {"concurrent": 2}}
    limiter = made(tmp_path, rate_limit=limits)

    assert limiter is not None
    account, address = (budget.limit for budget in limiter.budgets)
    assert account.rate == Fraction(5)
    assert address.rate is None
    assert (account.concurrent, address.concurrent) == (None, 2)


def test_a_route_may_have_the_only_limit(tmp_path: Path) -> None:
    row = {"name": "a", "path": "/a", "rate_limit": {"concurrent": 3}}
    limiter = made(tmp_path, routes=[row])

    assert limiter is not None
    assert [budget.limit.concurrent for budget in limiter.budgets] == [None, None, 3]


async def test_the_shedder_hears_of_the_loop_for_as_long_as_it_serves(tmp_path: Path) -> None:
    found = settings(tmp_path, limits={"max_in_flight": 1, "max_lag": 0.1, "max_lag_for": 1})
    streams = Streams(RecordingObserver())
    with observing(SystemClock()) as observed:
        watch = observed(found)
        async with admitting(found, watch, streams, SystemClock()) as admission:
            shedder = admission.shedder
            assert shedder is not None
            assert shedder.refusal() is None
            streams.in_flight = 1
            assert shedder.refusal() is not None
            for late in (0.0, 2.0):
                watch.loop_watch.ran(SystemClock().steady() - 10.0 + late)
            assert shedder.share == 0  # it has not lasted
        assert admission.limiter is None


async def test_two_processes_hear_of_each_other_through_redis(tmp_path: Path) -> None:
    limits = {"requests_per_second": 0.001, "burst": 9, "shared": "redis", "exchange_every": 0.01}
    clock, streams = SystemClock(), Streams(RecordingObserver())

    def is_told(limiter: Limiter) -> bool:
        buckets = next(iter(limiter.budgets)).buckets
        assert buckets is not None
        return buckets.take("robot", clock.steady()) > 0

    async with RedisServer() as redis:
        found = settings(tmp_path, accounts={"url": redis.url}, rate_limit=limits)
        with observing(clock) as observed:
            watched = observed(found)
            async with (
                admitting(found, watched, streams, clock) as one,
                admitting(found, watched, streams, clock) as other,
            ):
                assert one.limiter is not None
                assert other.limiter is not None
                taken = sum(not is_told(one.limiter) for _ in range(9))
                await until(lambda: other.limiter is not None and is_told(other.limiter))

    assert taken == 9
