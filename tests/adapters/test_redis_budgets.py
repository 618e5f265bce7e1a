"""Budgets that several processes share: how much too much there can be, and without Redis."""

import asyncio
import logging
from collections.abc import Hashable, Mapping
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.adapters.account_keys import AccountKeys
from sidecar.adapters.redis_budgets import BudgetExchange, RedisBudgets
from sidecar.adapters.redis_client import open_redis
from sidecar.admission import Budget, Limiter, LimitRules
from sidecar.app.running import running
from sidecar.core.rate_limit import Limit, SharedBuckets
from sidecar.core.subject import SubjectKey
from sidecar.demo.redis_server import RedisServer
from sidecar.ports import StatusUnavailable
from tests.fakes.clock import FakeClock
from tests.fakes.waiting import until

ALICE = SubjectKey("corp", "alice")
KEYS = AccountKeys()


class SharedStore:
    """Implements ``BudgetStore`` as Redis does it, on the test's clock."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.full_at: dict[tuple[str, Hashable], Fraction] = {}
        self.is_away = False

    async def exchange(
        self, name: str, taken: Mapping[Hashable, int], rate: Fraction, burst: int
    ) -> Mapping[Hashable, float]:
        if self.is_away:
            raise StatusUnavailable("away")
        now, found = Fraction(self.clock.steady()), {}
        for who, tokens in taken.items():
            full_at = max(self.full_at.get((name, who), Fraction(0)), now) + tokens / rate
            self.full_at[name, who] = min(full_at, now + 16 * burst / rate)
            found[who] = float(self.full_at[name, who] - now)
        return found


class Process:
    """One of several: it lets through what its buckets hold, and tells the others now and then."""

    def __init__(self, store: SharedStore, limit: Limit) -> None:
        self.clock = store.clock
        limiter = Limiter(LimitRules(limit, shared=True))
        self.buckets = next(iter(limiter.budgets)).buckets
        self.exchange = BudgetExchange(limiter.budgets, store, store.clock, 0.1).exchange

    def ask(self, times: int) -> int:
        assert self.buckets is not None
        return sum(not self.buckets.take(ALICE, self.clock.steady()) for _ in range(times))


def processes(number: int, rate: float, burst: int) -> tuple[FakeClock, list[Process]]:
    clock = FakeClock()
    store = SharedStore(clock)
    limit = Limit("account", Fraction(rate), burst)
    return clock, [Process(store, limit) for _ in range(number)]


def step(clock: FakeClock, every: list[Process], asks: list[int]) -> list[tuple[float, int]]:
    """Let each ask so often, then exchange, each in turn; return what passed and when."""
    passed = [
        (clock.steady(), process.ask(times)) for process, times in zip(every, asks, strict=True)
    ]
    for process in every:
        asyncio.run(process.exchange())
    clock.advance(0.1)
    return passed


@given(
    number=st.integers(1, 4),
    rate=st.sampled_from([0.5, 2.0, 10.0]),
    burst=st.integers(1, 8),
    data=st.data(),
)
def test_what_several_let_through_is_bounded_in_every_window(
    number: int, rate: float, burst: int, data: st.DataObject
) -> None:
    """As the module says it: rate * T + burst + (N - 1) * (burst + 2 * every * rate)."""
    clock, every = processes(number, rate, burst)
    passed: list[tuple[float, int]] = []
    asks = st.lists(st.sampled_from([0, 1, 20]), min_size=number, max_size=number)
    for _ in range(data.draw(st.integers(1, 25))):
        passed += step(clock, every, data.draw(asks))
    for first, (began, _) in enumerate(passed):
        total = 0
        for now, let_through in passed[first:]:
            total += let_through
            too_much = (number - 1) * (burst + 2 * 0.1 * rate)
            assert total <= rate * (now - began) + burst + too_much + 1e-6


def test_in_the_long_run_four_let_through_what_one_would() -> None:
    clock, every = processes(4, 10.0, 5)
    passed = sum(sum(n for _, n in step(clock, every, [9] * 4)) for _ in range(1000))

    # 100 s of 10 a second; beside these the burst, and three bursts that nobody had heard of.
    assert 990 <= passed <= 1000 + 5 + 3 * (5 + 2)


def test_whoever_asks_one_process_alone_gets_the_whole_budget() -> None:
    clock, every = processes(4, 10.0, 5)
    passed = sum(sum(n for _, n in step(clock, every, [9, 0, 0, 0])) for _ in range(100))

    assert passed == pytest.approx(100 + 5, abs=2)


async def test_while_the_store_is_away_each_goes_by_its_own_and_forgets_the_rest(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """To tell of an hour's requests afterwards would shut the caller out for as long."""
    caplog.set_level(logging.INFO, logger="sidecar")
    clock = FakeClock()
    store = SharedStore(clock)
    one, other = (Process(store, Limit("account", Fraction(1), 5)) for _ in range(2))
    store.is_away = True
    passed = 0
    for _ in range(600):
        passed += one.ask(3) + other.ask(3)
        await one.exchange()
        await other.exchange()
        clock.advance(1.0)
    assert passed == pytest.approx(2 * 605, abs=2)

    store.is_away = False
    clock.advance(5.0)
    assert one.ask(9) + other.ask(9) == 10
    await one.exchange()
    await other.exchange()
    clock.advance(6.0)

    assert other.ask(9) == 1
    # Once each, however often it was tried.
    assert [record.levelname for record in caplog.records] == ["WARNING"] * 2 + ["INFO"] * 2


def test_no_more_callers_are_told_of_than_are_remembered() -> None:
    buckets = SharedBuckets(Fraction(1), 1, 100)
    for each in range(1000):
        buckets.take(each, 100.0)

    assert len(buckets.drain()) == 100
    assert buckets.drain() == {}


async def test_redis_adds_up_what_all_have_taken(redis: RedisServer) -> None:
    async with open_redis(redis.url, {}, KEYS.prefix, 5.0) as client:
        one, other = (RedisBudgets(client, KEYS) for _ in range(2))
        first = await one.exchange("account", {ALICE: 3, "192.0.2.1": 0}, Fraction(1, 10), 5)
        second = await other.exchange("account", {ALICE: 1}, Fraction(1, 10), 5)
        elsewhere = await other.exchange("route:a", {ALICE: 1}, Fraction(1, 10), 5)
        life = await client.pttl(KEYS.budget("account", "corp:alice"))
        keys = [str(key) for key in await client.keys("*")]

    assert first[ALICE] == pytest.approx(30.0, abs=1)
    assert first["192.0.2.1"] == 0
    assert second[ALICE] == pytest.approx(40.0, abs=5)
    assert elsewhere[ALICE] == pytest.approx(10.0, abs=1)
    assert 30_000 < life <= 40_001
    assert not [key for key in keys if key.startswith(KEYS.prefix)]


async def test_redis_takes_many_callers_at_once_and_a_spoilt_key_for_a_full_bucket(
    redis: RedisServer,
) -> None:
    await redis.command("SET", KEYS.budget("account", "7"), "nonsense")
    async with open_redis(redis.url, {}, KEYS.prefix, 5.0) as client:
        taken: dict[Hashable, int] = dict.fromkeys(range(450), 1)
        found = await RedisBudgets(client, KEYS).exchange("account", taken, Fraction(3), 5)

    assert len(found) == 450
    assert all(seconds == pytest.approx(1 / 3, abs=0.001) for seconds in found.values())


async def test_no_debt_in_redis_is_longer_than_sixteen_buckets(redis: RedisServer) -> None:
    """A clock that was set back by a fail-over would else keep everybody out for as long."""
    await redis.command("SET", KEYS.budget("account", "x"), "9" * 17)
    async with open_redis(redis.url, {}, KEYS.prefix, 5.0) as client:
        found = await RedisBudgets(client, KEYS).exchange("account", {"x": 1}, Fraction(1), 2)

    assert found["x"] == pytest.approx(32.0, abs=0.01)


async def test_the_user_of_the_readme_is_enough(redis: RedisServer) -> None:
    await redis.command(
        "ACL", "SETUSER", "limits", "on", ">secret", "-@all", "+hello", "+auth", "+ping", "+select",
        "+role", "~used:sidecar:*", "+eval", "+time", "+get", "+set",
    )  # fmt: skip
    options = {"username": "limits", "password": "secret"}
    async with open_redis(redis.url, options, KEYS.prefix, 5.0) as client:
        found = await RedisBudgets(client, KEYS).exchange("account", {"x": 1}, Fraction(1), 2)

    assert found["x"] == pytest.approx(1.0, abs=0.01)


async def test_a_redis_that_refuses_is_one_that_is_away(redis: RedisServer) -> None:
    await redis.command("ACL", "SETUSER", "nobody", "on", ">secret", "-@all", "+hello", "+ping")
    options = {"username": "nobody", "password": "secret"}
    async with open_redis(redis.url, options, KEYS.prefix, 5.0) as client:
        with pytest.raises(StatusUnavailable):
            await RedisBudgets(client, KEYS).exchange("account", {"x": 1}, Fraction(1), 2)


class Broken:
    """Fails as nobody thought of, once."""

    def __init__(self) -> None:
        self.calls = 0

    async def exchange(
        self, name: str, taken: Mapping[Hashable, int], rate: Fraction, burst: int
    ) -> Mapping[Hashable, float]:
        del name, rate, burst
        self.calls += 1
        if self.calls == 1:
            raise ZeroDivisionError
        return dict.fromkeys(taken, 50.0)


async def test_the_job_goes_on_after_whatever_fails() -> None:
    clock, store = FakeClock(), Broken()
    budget = Budget("account", Limit("account", Fraction(1), 50), LimitRules(shared=True))
    exchange = BudgetExchange([budget], store, clock, 0.01)
    assert budget.buckets is not None

    def is_told() -> bool:
        assert budget.buckets is not None
        return budget.buckets.take(ALICE, clock.steady()) > 0

    async with running(exchange.run):
        await until(is_told)

    assert store.calls >= 2


class Swallowing:
    """Hangs, and turns a cancellation into an error of its own, as a client of Redis may."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()

    async def exchange(
        self, name: str, taken: Mapping[Hashable, int], rate: Fraction, burst: int
    ) -> Mapping[Hashable, float]:
        del name, taken, rate, burst
        self.asked.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise StatusUnavailable("disconnected") from None
        return {}


async def test_the_job_ends_although_its_cancellation_was_swallowed() -> None:
    store = Swallowing()
    budget = Budget("account", Limit("account", Fraction(1), 50), LimitRules(shared=True))
    exchange = BudgetExchange([budget], store, FakeClock(), 0.001)
    assert budget.buckets is not None
    budget.buckets.take(ALICE, 1.0)

    async with asyncio.timeout(10):
        async with running(exchange.run):
            await store.asked.wait()
