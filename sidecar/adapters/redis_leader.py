"""Which of all sidecars and their workers leads, by a lock in the account store.

``<prefix>sync:leader:<realm>`` holds the leader's token and expires with its lease. A leader that
was paused for longer than that does not know; so each lead has a number, in
``<prefix>sync:fence:<realm>``, higher than all before it, and each write of an account checks in
its own transaction that the number is still the writer's (``redis_store``).

The number is the time of the election in milliseconds, or one more than the last: it grows also
where the store was emptied or rolled back, or the clock set back.
"""

import logging
import secrets
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError, WatchError

from sidecar.adapters.account_keys import AccountKeys
from sidecar.adapters.redis_client import mapped
from sidecar.adapters.redis_store import check_changed
from sidecar.ports import Clock

log = logging.getLogger(__name__)


class RedisLeader:
    """Implements ``account_sync.Leader``; ``lease`` is in seconds.

    Campaign several times a lease. The lock is compared and written by WATCH and MULTI: a script
    would need rights of its own in an ACL.
    """

    def __init__(
        self, client: Redis, keys: AccountKeys, realm: str, lease: float, clock: Clock
    ) -> None:
        self._client = client
        self._leader, self._fence = keys.leader(realm), keys.fence(realm)
        self._lease = lease
        self._clock = clock
        self._token = secrets.token_hex(16)
        self._until = 0.0
        self._number: int | None = None

    def is_leading(self) -> bool:
        return self._clock.steady() < self._until

    def number(self) -> int | None:
        """Return the number of the lead that this process has; None for none that it knows of."""
        return self._number

    async def campaign(self) -> None:
        asked_at = self._clock.steady()
        async with mapped(), self._client.pipeline(transaction=True) as pipeline:
            transaction: Any = pipeline
            try:
                await transaction.watch(self._leader, self._fence)
                holder, number = await transaction.mget(self._leader, self._fence)
                if holder != self._token and (holder is not None or self._number is not None):
                    # Lost to another, or with the store's data: whatever is being written on the
                    # strength of it has to end before it may be won anew.
                    self._lose()
                    return
                won = self._take(transaction, number, keeps=holder is not None)
                await transaction.execute()
            except WatchError as refused:
                self._lose()
                check_changed(refused)
                return
        # The lease runs on the server from later than this: here it ends first.
        self._number, self._until = won, asked_at + self._lease

    def _take(self, transaction: Any, number: str | None, *, keeps: bool) -> int:
        """Put into ``transaction`` what wins or keeps the lead; return the lead's number."""
        last = int(number) if number is not None and number.isdecimal() else 0
        transaction.multi()
        milliseconds = int(self._lease * 1000)
        if keeps and last:
            # Also where the reply to the election was lost, and with it the number.
            transaction.pexpire(self._leader, milliseconds)
            return last
        won = max(last + 1, int(self._clock.now() * 1000))
        transaction.set(self._leader, self._token, px=milliseconds)
        transaction.set(self._fence, won)
        return won

    def _lose(self) -> None:
        self._number, self._until = None, 0.0

    async def resign(self) -> None:
        self._lose()
        try:
            async with self._client.pipeline(transaction=True) as pipeline:
                transaction: Any = pipeline
                await transaction.watch(self._leader)
                if await transaction.get(self._leader) == self._token:
                    transaction.multi()
                    transaction.delete(self._leader)
                    await transaction.execute()
        except (RedisError, OSError) as problem:
            log.debug("the lead was not resigned, it ends by itself: %s", type(problem).__name__)
