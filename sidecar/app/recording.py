"""What records the accounts' use, joined where the settings ask for it."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from sidecar.adapters.account_keys import AccountKeys
from sidecar.adapters.redis_client import open_redis
from sidecar.adapters.redis_last_use import RedisLastUse
from sidecar.app.observing import Observing
from sidecar.app.parts import redis_options
from sidecar.app.storing import STORE_SECONDS
from sidecar.observability.last_use_writer import LastUseWriter, WritePolicy
from sidecar.ports import Clock
from sidecar.settings import Settings


@asynccontextmanager
async def open_recorded_use(settings: Settings, seconds: float) -> AsyncIterator[RedisLastUse]:
    """Open where it is recorded; give up on a silent server after ``seconds``."""
    accounts = settings.accounts
    async with open_redis(
        accounts.url, redis_options(settings), accounts.prefix, seconds
    ) as client:
        yield RedisLastUse(client, AccountKeys(accounts.prefix))


@asynccontextmanager
async def recording(
    settings: Settings, observed: Observing, clock: Clock
) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """Give the job that records until the block ends; it has nothing to do where it is off."""
    wanted, recent = settings.accounts.last_use, observed.recent_use
    if wanted is None or recent is None:
        yield _nothing
        return
    realms = frozenset(issuer.realm for issuer in settings.issuers)
    policy = WritePolicy(realms, wanted.every)
    async with open_recorded_use(settings, STORE_SECONDS) as store:
        yield LastUseWriter(recent, store, policy, observed.last_use_metrics, clock).run


async def _nothing() -> None: ...
