"""Callers' budgets in Redis: what every process has let through, told to all now and then.

No request asks Redis. Each process lets through what its own buckets hold, and every so often says
what that was and hears how empty each bucket is by then, with what all the others took. So a rate
is kept in the long run, and exceeded for a moment only: of N processes, each can have let through a
full bucket that the others have not heard of. In any T seconds at most

    rate * T + burst + (N - 1) * (burst + 2 * every * rate)

requests pass, and what was too much is paid back before anything passes again. A bucket in Redis is
the moment, by the clock of Redis and in microseconds, at which it will be full.

While Redis is away each process goes by its own buckets alone, and forgets what it would have told.
"""

import asyncio
import logging
from collections.abc import Hashable, Iterable, Mapping
from fractions import Fraction
from itertools import islice
from typing import Any, Protocol

from redis.asyncio import Redis

from sidecar.adapters.account_keys import AccountKeys
from sidecar.adapters.redis_client import mapped
from sidecar.admission import Budget
from sidecar.cancelling import check_not_cancelled
from sidecar.core.rate_limit import SharedBuckets
from sidecar.core.subject import SubjectKey
from sidecar.ports import Clock, StatusUnavailable

log = logging.getLogger(__name__)

_BATCH = 200
# No debt is longer than that of so many processes that all let a full bucket through: a clock that
# was set back would else keep everybody out for as long.
_MOST_BUCKETS = 16
_MICROSECONDS = 1_000_000

_EXCHANGE = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local token, longest = tonumber(ARGV[1]), tonumber(ARGV[2])
local ahead = {}
for i, key in ipairs(KEYS) do
  local full_at = tonumber(redis.call('GET', key) or '0') or 0
  local taken = tonumber(ARGV[i + 2])
  full_at = math.min(math.max(full_at, now) + taken * token, now + longest)
  if taken > 0 then
    local life = string.format('%.0f', math.ceil((full_at - now) / 1000) + 1)
    redis.call('SET', key, string.format('%.0f', full_at), 'PX', life)
  end
  ahead[i] = string.format('%.0f', full_at - now)
end
return ahead
"""


class BudgetStore(Protocol):
    """Where all processes put what they have let through."""

    async def exchange(
        self, name: str, taken: Mapping[Hashable, int], rate: Fraction, burst: int
    ) -> Mapping[Hashable, float]:
        """Take so many tokens out of each caller's bucket; return when each is full, in seconds.

        Raises:
            StatusUnavailable: the store did not answer.
        """
        ...


class RedisBudgets:
    """Implements ``BudgetStore``."""

    def __init__(self, client: Redis, keys: AccountKeys) -> None:
        self._client = client
        self._keys = keys

    async def exchange(
        self, name: str, taken: Mapping[Hashable, int], rate: Fraction, burst: int
    ) -> Mapping[Hashable, float]:
        client: Any = self._client
        token = _MICROSECONDS / rate
        longest = token * burst * _MOST_BUCKETS
        found: dict[Hashable, float] = {}
        callers = iter(taken)
        async with mapped():
            while batch := list(islice(callers, _BATCH)):
                keys = [self._keys.budget(name, _text_of(who)) for who in batch]
                counts = [taken[who] for who in batch]
                replies = await client.eval(
                    _EXCHANGE, len(keys), *keys, float(token), float(longest), *counts
                )
                for who, ahead in zip(batch, replies, strict=True):
                    found[who] = int(ahead) / _MICROSECONDS
        return found


class BudgetExchange:
    """Keeps this process's buckets in step with everybody's."""

    def __init__(
        self, budgets: Iterable[Budget], store: BudgetStore, clock: Clock, every: float
    ) -> None:
        self._budgets = [each for each in budgets if isinstance(each.buckets, SharedBuckets)]
        self._store = store
        self._clock = clock
        self._every = every
        self._is_away = False

    async def run(self) -> None:
        """Exchange every so often, until cancelled. Raises nothing else."""
        while True:
            await asyncio.sleep(self._every)
            try:
                await self.exchange()
            except Exception:
                log.exception("what callers have left could not be exchanged")
            check_not_cancelled()

    async def exchange(self) -> None:
        """Exchange once what was taken since the last time."""
        for budget in self._budgets:
            buckets, rate = budget.buckets, budget.limit.rate
            assert isinstance(buckets, SharedBuckets)  # noqa: S101
            assert rate is not None  # noqa: S101
            taken = buckets.drain()
            if not taken:
                continue
            try:
                found = await self._store.exchange(budget.name, taken, rate, budget.limit.burst)
            except StatusUnavailable as unavailable:
                self._tell_away(str(unavailable))
                continue
            self._tell_back()
            now = self._clock.steady()
            for who, seconds in found.items():
                buckets.delay(who, seconds, now)

    def _tell_away(self, why: str) -> None:
        if not self._is_away:
            self._is_away = True
            log.warning("limits are kept by each process alone, until Redis can be asked: %s", why)

    def _tell_back(self) -> None:
        if self._is_away:
            self._is_away = False
            log.info("limits are shared again")


def _text_of(who: Hashable) -> str:
    return f"{who.realm}:{who.subject}" if isinstance(who, SubjectKey) else str(who)
