"""Parts for the command line: the account store, and a decision without a front."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from sidecar.adapters.account_keys import AccountKeys
from sidecar.adapters.clock import SystemClock
from sidecar.adapters.redis_last_use import RedisLastUse
from sidecar.adapters.redis_store import RedisAccountStore, open_redis_store
from sidecar.adapters.store_revision import Mark, make_epoch
from sidecar.app.asking_issuers import open_services
from sidecar.app.auditing import auditing
from sidecar.app.parts import MEMORY, make_accounts, make_authorizer, open_keys, redis_options
from sidecar.app.recording import open_recorded_use
from sidecar.app.running import running
from sidecar.authorize import Authorizer
from sidecar.observability.introspection_metrics import UnheardIntrospection
from sidecar.observability.observers import Observers
from sidecar.ports import AccountStore, AccountView, Auditor
from sidecar.settings import Settings

_STORE_SECONDS = 5.0
_POLL_SECONDS = 0.01


class NotReachable(Exception):
    """The settings name an account store that lives in the sidecar's own process."""


@asynccontextmanager
async def open_store(settings: Settings) -> AsyncIterator[AccountStore]:
    """Open the account store to manage accounts.

    Raises:
        NotReachable: ``memory://``.
    """
    async with _open_redis(settings) as store:
        yield store


def open_audit(settings: Settings, log: Auditor) -> AbstractAsyncContextManager[Auditor]:
    """Open who is told of changes: ``log``, and the trail where the sidecars keep one.

    A record that cannot be kept there is said in the process's log.
    """
    return auditing(settings, log, _nobody_counts)


def open_last_use(settings: Settings) -> AbstractAsyncContextManager[RedisLastUse]:
    """Open what is recorded of the accounts' use."""
    return open_recorded_use(settings, _STORE_SECONDS)


async def confirm_store(settings: Settings) -> Mark:
    """Make what the account store holds the truth from now on; return where it stood before.

    Raises:
        NotReachable: ``memory://``.
        StatusUnavailable: the store did not answer.
    """
    async with _open_redis(settings) as store:
        before = await store.mark()
        await store.confirm(make_epoch(SystemClock().now(), secrets.token_hex(8)))
        return before


@asynccontextmanager
async def _open_redis(settings: Settings) -> AsyncIterator[RedisAccountStore]:
    accounts = settings.accounts
    if accounts.url.startswith(MEMORY):
        raise NotReachable(
            "accounts.url is memory://, which only the sidecar itself can reach;"
            " use redis:// to manage accounts (`sidecar demo` starts such a server)"
        )
    keys = AccountKeys(accounts.prefix)
    async with open_redis_store(
        accounts.url, redis_options(settings), keys, _STORE_SECONDS
    ) as store:
        yield store


@asynccontextmanager
async def open_authorizer(
    settings: Settings, patience: float
) -> AsyncIterator[tuple[Authorizer, AccountView]]:
    """Open THE decision with keys and accounts as a running sidecar would have them.

    The accounts come with it, to be asked about others than the decision's subject.

    Waits at most ``patience`` seconds for them; what has not come by then denies, with its reason.
    """
    clock, observer = SystemClock(), Observers()
    accounts = make_accounts(settings, clock, observer)
    async with (
        open_keys(settings, clock, observer) as keys,
        open_services(settings, keys, clock, UnheardIntrospection()) as services,
        running(keys.run, accounts.run),
    ):
        try:
            async with asyncio.timeout(patience):
                while not (keys.is_ready() and accounts.view.is_live()):  # noqa: ASYNC110
                    await asyncio.sleep(_POLL_SECONDS)
        except TimeoutError:
            pass
        authorizer = make_authorizer(settings, keys, accounts.view, clock, observer, services)
        yield authorizer, accounts.view


def _nobody_counts() -> None:
    pass
