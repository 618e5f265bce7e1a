"""The account store, for those in the running sidecar who write to it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sidecar.adapters.account_keys import AccountKeys
from sidecar.adapters.memory_accounts import MemoryAccounts
from sidecar.adapters.redis_store import open_redis_store
from sidecar.app.parts import redis_options
from sidecar.ports import AccountStore, AccountView
from sidecar.settings import Settings

STORE_SECONDS = 2.0


@asynccontextmanager
async def open_store(settings: Settings, view: AccountView | None) -> AsyncIterator[AccountStore]:
    """Open the store until the block ends; it connects when it is asked.

    ``view`` is this process's account view, if it has one: in ``memory://`` it is the store too.
    """
    if isinstance(view, MemoryAccounts):
        yield view
        return
    accounts = settings.accounts
    async with open_redis_store(
        accounts.url, redis_options(settings), AccountKeys(accounts.prefix), STORE_SECONDS
    ) as store:
        yield store
