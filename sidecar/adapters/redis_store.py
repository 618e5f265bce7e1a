"""The account store on Redis, for those who manage accounts."""

import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from math import ceil
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import ResponseError, WatchError

from sidecar.adapters.account_keys import AccountKeys
from sidecar.adapters.redis_client import mapped, open_redis
from sidecar.adapters.redis_last_use import RedisLastUse
from sidecar.adapters.store_revision import SCHEMA, Mark
from sidecar.core.subject import (
    Account,
    SubjectKey,
    read_account,
    read_not_before,
    write_account,
    write_tombstone,
)
from sidecar.ports import StatusUnavailable, Superseded

log = logging.getLogger(__name__)

_BATCH = 500
_CHANGED = "Watched variable changed."  # redis-py's words for an EXEC that was refused
_NOT_KNOWN = "the connection was lost while writing"

Fence = Callable[[], int | None]
"""Returns the number of the lead that this process has (``redis_leader``); None for none."""


class RedisAccountStore:
    """Implements ``ports.AccountStore`` with transactions that see concurrent writers.

    With a ``fence`` accounts are written only as long as no later leader has been, whatever the
    clocks say: the number is watched in the transaction of each write. ``Superseded`` is raised
    then.
    """

    def __init__(self, client: Redis, keys: AccountKeys, fence: Fence | None = None) -> None:
        self._client = client
        self._keys = keys
        self._fence = fence

    async def get(self, key: SubjectKey) -> Account | None:
        async with mapped():
            return await self._read(self._client, key)

    async def list(self, realm: str) -> Sequence[Account]:
        accounts: dict[str, Account] = {}
        async with mapped():
            batch: list[str] = []
            async for name in self._client.scan_iter(
                match=self._keys.accounts_of(realm), count=_BATCH
            ):
                batch.append(name)
                if len(batch) == _BATCH:
                    accounts |= await self._read_all(realm, batch)
                    batch = []
            accounts |= await self._read_all(realm, batch)
        return [accounts[subject] for subject in sorted(accounts)]

    async def put(
        self, key: SubjectKey, account: Account, *, expected: Account | None
    ) -> Account | None:
        name = self._keys.account(key)
        async with mapped(), self._client.pipeline(transaction=True) as pipeline:
            transaction: Any = pipeline
            try:
                await self._watch(transaction, key)
                fields = await transaction.hgetall(name)
                stored = read_account(key.subject, fields)
                if stored != expected:
                    return None
                if stored is None:
                    deleted = read_not_before(fields.get("not_before"))
                    account = replace(account, not_before=max(account.not_before, deleted))
                transaction.multi()
                transaction.hset(name, mapping=write_account(account))
                await self._write(transaction)
            except WatchError as refused:
                check_changed(refused)
                return None
            return account

    async def delete(self, key: SubjectKey) -> bool:
        if not await self._delete(key):
            return False
        # Afterwards: whoever may not do this has shut the program out all the same.
        await RedisLastUse(self._client, self._keys).forget(key)
        return True

    async def _delete(self, key: SubjectKey) -> bool:
        name = self._keys.account(key)
        async with mapped(), self._client.pipeline(transaction=True) as pipeline:
            transaction: Any = pipeline
            while True:  # a writer that was faster has changed it: this ends
                try:
                    await self._watch(transaction, key)
                    found = await self._read(transaction, key)
                    if found is None:
                        return False
                    transaction.multi()
                    transaction.delete(name)
                    if found.not_before:
                        transaction.hset(name, mapping=write_tombstone(found.not_before))
                    await self._write(transaction)
                except WatchError as refused:
                    check_changed(refused)
                    continue
                return True

    async def confirm(self, epoch: str) -> None:
        """Declare what is stored to be the truth, whatever was seen before (``store_revision``)."""
        async with mapped(), self._client.pipeline(transaction=True) as pipeline:
            transaction: Any = pipeline
            transaction.set(self._keys.epoch, epoch)
            await self._write(transaction)

    async def mark(self) -> Mark:
        """Return the revision and the epoch of what is stored."""
        async with mapped():
            client: Any = self._client
            revision, epoch = await client.mget(self._keys.revision, self._keys.epoch)
            return Mark(None if revision is None else int(revision), epoch or "")

    async def _write(self, transaction: Any) -> Sequence[Any]:
        """Execute the MULTI and return its replies. No write may go another way.

        It raises the revision with the change, so that a store without the change is known for
        one that was rolled back.
        """
        transaction.incr(self._keys.revision)
        *replies, _ = await transaction.execute()
        return tuple(replies)

    async def _watch(self, transaction: Any, key: SubjectKey) -> None:
        if self._fence is None:
            await transaction.watch(self._keys.account(key), self._keys.schema)
        else:
            await self._watch_fence(transaction, key, self._fence)
        [schema] = await transaction.mget(self._keys.schema)
        if schema and schema != SCHEMA.decode():
            # Whoever reads it by then may look elsewhere, and would not see that one is disabled.
            raise StatusUnavailable(f"the account store has schema {schema[:20]!r}, not ours")

    async def _watch_fence(self, transaction: Any, key: SubjectKey, leading: Fence) -> None:
        fence = self._keys.fence(key.realm)
        await transaction.watch(self._keys.account(key), self._keys.schema, fence)
        number = leading()
        if number is None or await transaction.get(fence) != str(number):
            raise Superseded("another sidecar leads since then")

    async def revoke_token(self, realm: str, token_id: str, until: float) -> None:
        name, moment = self._keys.revoked(realm, token_id), ceil(until)
        async with mapped(), self._client.pipeline(transaction=True) as pipeline:
            transaction: Any = pipeline
            # Whoever says "until sooner" second must not let the token in again: GT only extends,
            # and leaves alone a key that was written by hand without an end.
            transaction.set(name, "1", nx=True, exat=moment)
            transaction.expireat(name, moment, gt=True)
            await self._write(transaction)

    async def read_realm_not_before(self, realm: str) -> float:
        async with mapped():
            client: Any = self._client
            return read_not_before(await client.hget(self._keys.realm(realm), "not_before"))

    async def set_realm_not_before(self, realm: str, moment: float) -> float:
        name = self._keys.realm(realm)
        async with mapped(), self._client.pipeline(transaction=True) as pipeline:
            transaction: Any = pipeline
            while True:  # a writer that was faster has raised it: this ends
                try:
                    await transaction.watch(name)
                    current = read_not_before(await transaction.hget(name, "not_before"))
                    if current >= moment:
                        return current
                    transaction.multi()
                    transaction.hset(name, "not_before", repr(moment))
                    await self._write(transaction)
                except WatchError as refused:
                    check_changed(refused)
                    continue
                return moment

    async def _read(self, client: Any, key: SubjectKey) -> Account | None:
        return read_account(key.subject, await client.hgetall(self._keys.account(key)))

    async def _read_all(self, realm: str, names: Sequence[str]) -> dict[str, Account]:
        pipeline: Any = self._client.pipeline(transaction=False)
        for name in names:
            pipeline.hgetall(name)
        found = {}
        replies = await pipeline.execute(raise_on_error=False)
        for name, fields in zip(names, replies, strict=True):
            if isinstance(fields, ResponseError):
                # Somebody's key of another type must not hide all others.
                log.warning("the key %s is no account: %s", name, fields)
                continue
            subject = self._keys.subject_of(name, realm)
            account = read_account(subject, fields)
            if account is not None:
                found[subject] = account
        return found


def check_changed(refused: WatchError) -> None:
    """Raise StatusUnavailable unless another's change is why the write was refused."""
    if refused.args != (_CHANGED,):
        # redis-py's word for a connection that was lost while it watched.
        raise StatusUnavailable(_NOT_KNOWN) from None


@asynccontextmanager
async def open_redis_store(
    url: str,
    options: Mapping[str, Any],
    keys: AccountKeys,
    timeout_seconds: float,
    fence: Fence | None = None,
) -> AsyncIterator[RedisAccountStore]:
    """Open a store that gives up on a silent server after ``timeout_seconds``."""
    async with open_redis(url, options, keys.prefix, timeout_seconds) as client:
        yield RedisAccountStore(client, keys, fence)
