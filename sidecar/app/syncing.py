"""Keeping the accounts in step with the gateway's, joined from its parts where settings ask."""

import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from urllib.parse import urlsplit

from sidecar.account_sync import AccountSync, WantedSource
from sidecar.adapters.account_keys import AccountKeys
from sidecar.adapters.bounded_client import BoundedClient
from sidecar.adapters.gateway_client import GatewayAccounts
from sidecar.adapters.gateway_credentials import (
    ClientCredentials,
    Credential,
    api_key_of,
    bearer_of,
)
from sidecar.adapters.memory_accounts import MemoryAccounts, SoleLeader
from sidecar.adapters.redis_client import open_redis
from sidecar.adapters.redis_leader import RedisLeader
from sidecar.adapters.redis_store import RedisAccountStore
from sidecar.app.parts import provider_contexts, redis_options
from sidecar.app.periodic_sync import Parts, PeriodicSync, SyncPolicy
from sidecar.app.tls import client_context
from sidecar.core.account_plan import PlanRules, Vanished
from sidecar.observability.sync_metrics import SyncMetrics
from sidecar.ports import AccountView, Auditor, Clock
from sidecar.service_accounts import ServiceAccounts
from sidecar.settings import Settings
from sidecar.settings.sync import Sync

_STORE_SECONDS = 5.0
_ACTOR = "sync:gateway"
_SHORTEST_LEASE, _LONGEST_LEASE = 1.0, 15.0


async def keep_in_step(
    settings: Settings,
    view: AccountView,
    clock: Clock,
    auditor: Auditor,
    metrics: SyncMetrics,
    is_leaving: Callable[[], bool],
) -> None:
    """Sync at the start and then every so often, for as long as this process leads.

    ``view`` is this process's account view; in ``memory://`` it is the store too.
    """
    sync = settings.sync
    if sync is None:
        return
    realm = sync.realm or ""
    lease = min(max(sync.every, _SHORTEST_LEASE), _LONGEST_LEASE)
    async with AsyncExitStack() as stack:
        source = await stack.enter_async_context(open_gateway(settings, clock))
        leader: SoleLeader | RedisLeader
        store: MemoryAccounts | RedisAccountStore
        if isinstance(view, MemoryAccounts):
            leader, store = SoleLeader(), view
        else:
            keys = AccountKeys(settings.accounts.prefix)
            client = await stack.enter_async_context(
                open_redis(
                    settings.accounts.url, redis_options(settings), keys.prefix, _STORE_SECONDS
                )
            )
            leader = RedisLeader(client, keys, realm, lease, clock)
            store = RedisAccountStore(client, keys, leader.number)
        accounts = ServiceAccounts(store, clock, auditor, actor=_ACTOR)
        policy = SyncPolicy(realm, sync_rules(sync), sync.every, lease / 4)
        parts = Parts(source, AccountSync(accounts), leader, metrics, clock)
        await PeriodicSync(policy, parts, view.is_live, is_leaving).run()


def sync_rules(sync: Sync) -> PlanRules:
    """Return how far a sync may go."""
    return PlanRules(
        Vanished.DISABLE if sync.disable_vanished else Vanished.KEEP,
        reenable=sync.reenable,
        max_vanished_share=sync.max_disabled_share,
    )


@asynccontextmanager
async def open_gateway(settings: Settings, clock: Clock) -> AsyncIterator[WantedSource]:
    """Open the list of the gateway's accounts.

    Raises:
        ValueError: the settings have no section ``sync``.
    """
    sync = settings.sync
    if sync is None:
        raise ValueError("sync is not among them, so nobody knows how to sign in at the gateway")
    async with AsyncExitStack() as stack:
        gateway = await stack.enter_async_context(gateway_client(settings))
        if sync.token_url is not None:
            endpoint = await stack.enter_async_context(
                BoundedClient(
                    sync.token_url, sync.timeout, _provider_context(settings, sync.token_url)
                )
            )
            client = ClientCredentials(
                endpoint,
                sync.client_id or "",
                sync.read_credential,
                sync.token_parameters(),
                clock,
            )
            credential = Credential(client.header, client.forget)
        else:
            kind = api_key_of if sync.api_key_file is not None else bearer_of
            credential = kind(sync.read_credential)
        yield GatewayAccounts(gateway, credential, sync.max_accounts)


def gateway_client(settings: Settings) -> BoundedClient:
    """Return a client of the gateway's API, not yet open; it is verified as upstream is.

    Raises:
        ValueError: a file of ``upstream.tls`` is not what it should be.
    """
    upstream, sync = settings.upstream, settings.sync
    tls = None if upstream is None else upstream.tls
    url = "" if sync is None else sync.gateway_url or ""
    if not url and upstream is not None:
        url = upstream.url + ("" if upstream.url.startswith("unix:") else settings.preset_prefix)
    context = None
    if tls is not None:
        context = client_context(
            tls.ca, tls.certificate, tls.key, insecure_skip_verify=tls.insecure_skip_verify
        )
    return BoundedClient(
        url,
        1.0 if sync is None else sync.timeout,
        context,
        None if tls is None else tls.server_name,
    )


def _provider_context(settings: Settings, token_url: str) -> ssl.SSLContext | None:
    """Return how the issuer at the same host is verified."""
    host = urlsplit(token_url).hostname
    for issuer, context in provider_contexts(settings).items():
        if urlsplit(issuer).hostname == host:
            return context
    return None
