"""How accounts are used, in Redis: written in batches by every sidecar, read by the command line.

For each realm a sorted set of ``last_seen``, which only grows (``ZADD GT``), and a hash of
``uses``, which add up: so workers and replicas need not know of each other. Both lie beside the
accounts' prefix (``AccountKeys.beside``): a write is pushed to nobody, and does not raise the
store's revision, since no decision rests on it.

What was used just before its account was deleted must not come back after it. A transaction writes
and looks at the accounts; what is none is removed again. Whoever deletes one later removes its
record after that, so either way the last to come finds it.

A batch whose answer was lost is written again, so a count may be too high after an outage;
``last_seen`` is not.
"""

import logging
from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

from sidecar.adapters.account_keys import AccountKeys
from sidecar.adapters.redis_client import mapped
from sidecar.core.last_use import LastUse, UseRecord
from sidecar.core.subject import SubjectKey, read_account

log = logging.getLogger(__name__)

_BATCH = 250
_SINCE = " since"  # no subject has a blank


class RedisLastUse:
    """Implements ``observability.last_use_writer.UseStore``, and reads what was written.

    What raises ``ports.StatusUnavailable`` does so where Redis does not answer, or refuses.
    """

    def __init__(self, client: Redis, keys: AccountKeys) -> None:
        self._client = client
        self._keys = keys

    async def add(self, realm: str, used: Mapping[SubjectKey, LastUse], now: float) -> None:
        """Add what was used of the realm; its recording begins ``now`` unless it has begun.

        Raises:
            StatusUnavailable: nothing more is known of any of it; add it again.
        """
        moments = {key.subject: int(use.last_seen) for key, use in used.items()}
        async with mapped():
            transaction: Any = self._client.pipeline(transaction=True)
            transaction.hsetnx(self._keys.uses(realm), _SINCE, int(now))
            if moments:
                transaction.zadd(self._keys.last_seen(realm), moments, gt=True)
            for key, use in used.items():
                transaction.hincrby(self._keys.uses(realm), key.subject, use.uses)
            for key in used:
                transaction.hget(self._keys.account(key), "status")
            replies = await transaction.execute(raise_on_error=False)
            _raise_first(replies[:2])
            statuses = replies[len(replies) - len(used) :]
            await self._remove(
                realm,
                [
                    key.subject
                    for key, status in zip(used, statuses, strict=True)
                    if not _is_account(key, status)
                ],
            )

    async def read(self, realm: str, subjects: Sequence[str]) -> UseRecord:
        """Return what is recorded of these. Raises StatusUnavailable."""
        client: Any = self._client
        found: dict[str, LastUse] = {}
        async with mapped():
            since = await client.hget(self._keys.uses(realm), _SINCE)
            for first in range(0, len(subjects), _BATCH):
                batch = subjects[first : first + _BATCH]
                seen = await client.zmscore(self._keys.last_seen(realm), batch)
                uses = await client.hmget(self._keys.uses(realm), batch)
                for subject, last_seen, count in zip(batch, seen, uses, strict=True):
                    if last_seen is not None and isfinite(last_seen) and last_seen >= 0:
                        found[subject] = LastUse(last_seen, _number(count) or 0)
        return UseRecord(_number(since), found)

    async def forget(self, key: SubjectKey) -> None:
        """Remove what is recorded of a deleted account. Raises nothing: it is gone all the same."""
        try:
            await self._remove(key.realm, [key.subject])
        except (RedisError, OSError) as error:
            log.warning(
                "the deleted account's last use, if it is recorded, could not be removed: %s",
                str(error)[:200],
            )

    async def _remove(self, realm: str, subjects: Sequence[str]) -> None:
        if subjects:
            pipeline: Any = self._client.pipeline(transaction=False)
            pipeline.zrem(self._keys.last_seen(realm), *subjects)
            pipeline.hdel(self._keys.uses(realm), *subjects)
            await pipeline.execute()


def _raise_first(replies: Sequence[Any]) -> None:
    for reply in replies:
        if isinstance(reply, Exception):
            raise reply


def _is_account(key: SubjectKey, status: Any) -> bool:
    """Say whether it is there. A key of another type is none; its reply is an error."""
    return isinstance(status, str) and read_account(key.subject, {"status": status}) is not None


def _number(text: str | None) -> int | None:
    """Read a whole number; None for what is none."""
    return int(text) if text is not None and text.isdecimal() and len(text) < 20 else None
