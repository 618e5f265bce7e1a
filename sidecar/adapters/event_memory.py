"""Which security event tokens were put into force: in Redis, or in one process for development.

By a hash, since a transmitter chooses its ``jti`` and its length; and beside the accounts, where no
view has to hear of it.
"""

import hashlib
from collections import OrderedDict
from math import ceil

from redis.asyncio import Redis

from sidecar.adapters.account_keys import AccountKeys
from sidecar.adapters.redis_client import mapped
from sidecar.ports import Clock

_MOST_IN_MEMORY = 10_000


class RedisEventMemory:
    """Implements ``security_events.EventMemory`` for all sidecars together."""

    def __init__(self, client: Redis, keys: AccountKeys) -> None:
        self._client = client
        self._keys = keys

    async def knows(self, transmitter: str, token_id: str) -> bool:
        async with mapped():
            return bool(await self._client.exists(self._key(transmitter, token_id)))

    async def remember(self, transmitter: str, token_id: str, seconds: float) -> None:
        async with mapped():
            await self._client.set(self._key(transmitter, token_id), "1", ex=ceil(seconds))

    def _key(self, transmitter: str, token_id: str) -> str:
        return self._keys.event(_digest(transmitter, token_id))


class OwnEventMemory:
    """The same for one process; the oldest are forgotten first."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._until: OrderedDict[str, float] = OrderedDict()

    async def knows(self, transmitter: str, token_id: str) -> bool:
        return self._until.get(_digest(transmitter, token_id), 0.0) > self._clock.steady()

    async def remember(self, transmitter: str, token_id: str, seconds: float) -> None:
        self._until[_digest(transmitter, token_id)] = self._clock.steady() + seconds
        if len(self._until) > _MOST_IN_MEMORY:
            self._until.popitem(last=False)


def _digest(transmitter: str, token_id: str) -> str:
    # An issuer is a URL, so the two cannot run into each other at a blank.
    return hashlib.sha256(f"{transmitter} {token_id}".encode()).hexdigest()
