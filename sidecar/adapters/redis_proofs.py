"""Which DPoP proofs were used, in Redis: for every worker and replica that takes them.

One key for each proof, with a lifetime, beside the accounts' prefix (``AccountKeys.beside``): no
account view is to hear of it. A command is never sent twice: its second try would find the mark
that the first one left. What a fail-over loses can be replayed, for as long as the proof is young.
"""

import asyncio
from math import ceil

from redis.asyncio import Redis

from sidecar.adapters.account_keys import AccountKeys
from sidecar.adapters.redis_client import mapped

_MOST_AT_ONCE = 64  # connections; more would not make a server of one thread any faster


class RedisProofs:
    """Implements ``binding.UsedProofs``."""

    def __init__(self, client: Redis, keys: AccountKeys) -> None:
        self._client = client
        self._keys = keys
        self._turns = asyncio.Semaphore(_MOST_AT_ONCE)

    async def use(self, mark: str, seconds: float) -> bool:
        """Remember a proof as used; return whether it had not been. Raises StatusUnavailable."""
        async with self._turns, mapped():
            written = await self._client.set(
                self._keys.proof(mark), "1", nx=True, px=ceil(seconds * 1000)
            )
            return written is True
