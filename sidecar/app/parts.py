"""Parts made from settings. Each gets the few values that it needs, never the settings."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from sidecar.adapters.account_keys import AccountKeys
from sidecar.adapters.key_snapshot import KeySnapshot
from sidecar.adapters.key_source import JwksKeySource, KeyPolicy, Provider
from sidecar.adapters.mark_file import MarkFile
from sidecar.adapters.memory_accounts import MemoryAccounts
from sidecar.adapters.provider_client import ProviderClient
from sidecar.adapters.redis_accounts import RedisAccountView
from sidecar.adapters.redis_push import connection_for
from sidecar.adapters.view_policy import ViewPolicy
from sidecar.app.tls import client_context, server_context
from sidecar.authorize import Authorizer
from sidecar.core.routes import Routes
from sidecar.core.verified_tokens import VerifiedTokens
from sidecar.decision_services import DecisionServices
from sidecar.fronts.admission import Room
from sidecar.fronts.listener import ListenPolicy
from sidecar.fronts.reverse_proxy.upstream import UpstreamPolicy
from sidecar.fronts.reverse_proxy.upstream.policy import HealthPolicy
from sidecar.ports import AccountView, Clock, KeySource, Observer
from sidecar.rules import Admission, Rules
from sidecar.settings import Settings
from sidecar.settings.forward_auth import ForwardAuth
from sidecar.settings.sections import Listen
from sidecar.settings.sections import Upstream as UpstreamSettings
from sidecar.settings.upstream_health import Health

MEMORY = "memory://"
_ROOM = Room()


@dataclass(frozen=True, slots=True)
class Accounts:
    """The account view, what keeps it running, and how long it has gone without proof.

    ``remember`` keeps on disk what the next start has to know.
    """

    view: AccountView
    run: Callable[[], Awaitable[None]]
    remember: Callable[[], Awaitable[None]]
    proven_at: Callable[[], float | None]


def make_accounts(settings: Settings, clock: Clock, observer: Observer) -> Accounts:
    """Return the view that ``accounts.url`` asks for, not yet running."""
    accounts = settings.accounts
    if accounts.url.startswith(MEMORY):
        memory = MemoryAccounts()
        return Accounts(memory, _for_ever, _for_ever, clock.steady)
    policy = ViewPolicy(
        max_staleness=accounts.max_staleness,
        heartbeat=accounts.heartbeat,
        timeout=accounts.timeout,
        spread=accounts.reconnect_spread,
        read_timeout=accounts.read_timeout,
        max_subjects=accounts.max_subjects,
        strict=accounts.consistency == "strict",
        accept_rolled_back=accounts.rolled_back == "accept",
    )
    options = redis_options(settings)
    patience = accounts.max_staleness / 4
    marks = _mark_file(settings)
    view = RedisAccountView(
        lambda: connection_for(accounts.url, options, accounts.prefix, patience),
        AccountKeys(accounts.prefix),
        policy,
        clock,
        observer,
        memory=marks,
    )
    return Accounts(view, view.run, _for_ever if marks is None else marks.run, view.proven_at)


def _mark_file(settings: Settings) -> MarkFile | None:
    accounts = settings.accounts
    # Who accepts every roll-back need not know of an older one.
    if accounts.state_dir is None or accounts.rolled_back == "accept":
        return None
    return MarkFile(accounts.state_dir, accounts.url, accounts.prefix)


def key_policy(settings: Settings) -> KeyPolicy:
    """Return how keys are fetched and for how long they are good."""
    return KeyPolicy(
        max_age=settings.keys.max_age,
        max_stale=settings.keys.max_stale,
        cool_down=settings.keys.cool_down,
        max_keys=settings.keys.max_keys,
    )


@asynccontextmanager
async def open_keys(
    settings: Settings, clock: Clock, observer: Observer
) -> AsyncIterator[JwksKeySource]:
    """Open the source of the issuers' keys, not yet running."""
    policy = key_policy(settings)
    rules = settings.issuer_rules()
    directory = settings.keys.snapshot_dir
    async with ProviderClient(
        settings.keys.timeout, settings.keys.max_bytes, provider_contexts(settings)
    ) as client:
        yield JwksKeySource(
            [
                Provider(rules[each.issuer], each.jwks_url, insecure_http=each.insecure_http)
                for each in settings.issuers
                if rules[each.issuer].signs_tokens
            ],
            policy,
            client.fetch,
            clock,
            observer,
            KeySnapshot(directory) if directory is not None else None,
        )


def provider_contexts(settings: Settings) -> Mapping[str, ssl.SSLContext]:
    """Return how those issuers are verified that name authorities of their own."""
    return {
        each.issuer: client_context(each.ca) for each in settings.issuers if each.ca is not None
    }


def make_authorizer(  # noqa: PLR0913 - all that a decision rests on
    settings: Settings,
    keys: KeySource,
    accounts: AccountView,
    clock: Clock,
    observer: Observer,
    services: DecisionServices,
    routes: Routes | None = None,
    *,
    admission: Admission = Admission(),  # noqa: B008 - it cannot be changed
) -> Authorizer:
    """Return THE decision over these parts; ``routes`` instead of the settings' if given."""
    rules = Rules(
        routes=settings.routes_table() if routes is None else routes,
        issuers=settings.issuer_rules(),
        tolerated=settings.tolerated(),
        max_token_bytes=settings.limits.max_token_bytes,
        budget_seconds=settings.limits.decision_budget,
        strict=settings.accounts.consistency == "strict",
        admission=admission,
    )
    remembered = VerifiedTokens(settings.limits.remembered_tokens)
    return Authorizer(rules, keys, accounts, clock, remembered, observer, services)


def upstream_policy(upstream: UpstreamSettings) -> UpstreamPolicy:
    """Return where upstream is and how it is asked."""
    tls, health = upstream.tls, upstream.health
    return UpstreamPolicy(
        url=upstream.url,
        more=upstream.more_urls,
        connect_timeout=upstream.connect_timeout,
        first_byte_timeout=upstream.first_byte_timeout,
        idle_timeout=upstream.idle_timeout,
        max_connections=upstream.max_connections,
        keep_alive=upstream.keep_alive,
        tls=client_context(
            tls.ca,
            tls.certificate,
            tls.key,
            insecure_skip_verify=tls.insecure_skip_verify,
        )
        if tls is not None
        else None,
        server_name=None if tls is None else tls.server_name,
        health=None if health is None else _health_policy(health),
    )


def _health_policy(health: Health) -> HealthPolicy:
    return HealthPolicy(
        health.path,
        health.interval,
        health.timeout,
        health.healthy_after,
        health.unhealthy_after,
        frozenset(health.expect_status),
    )


def listen_policy(
    listen: Listen | ForwardAuth, room: Room = _ROOM, listener: socket.socket | None = None
) -> ListenPolicy:
    """Return how a door listens, with ``room``, on ``listener`` if there is one."""
    tls = listen.tls
    return ListenPolicy(
        host=listen.host,
        port=listen.port,
        tls=None if tls is None else server_context(tls.certificate, tls.key, tls.client_ca),
        backlog=listen.backlog,
        idle_timeout=listen.idle_timeout,
        head_timeout=listen.head_timeout,
        room=room,
        max_header_bytes=listen.max_header_bytes,
        max_headers=listen.max_headers,
        listener=listener,
    )


def admin_context(settings: Settings) -> ssl.SSLContext | None:
    """Return the TLS of the admin listener, if there is any. Raises as ``server_context`` does."""
    tls = settings.admin.tls
    if tls is None:
        return None
    context = server_context(tls.certificate, tls.key, tls.client_ca)
    if tls.client_ca is not None:
        # Probes and Prometheus show none: the API looks for itself.
        context.verify_mode = ssl.CERT_OPTIONAL
    return context


def renew_admin_context(context: ssl.SSLContext | None, settings: Settings) -> None:
    """Show the certificate that is in its file now, to connections that come from here on.

    Raises:
        OSError: the files are not what they should be.
    """
    tls = settings.admin.tls
    if context is not None and tls is not None:
        context.load_cert_chain(tls.certificate, tls.key)


def redis_options(settings: Settings) -> Mapping[str, Any]:
    """Return what redis-py is told beside the URL."""
    accounts = settings.accounts
    options: dict[str, Any] = {}
    if accounts.username is not None:
        options["username"] = accounts.username
    password = accounts.read_password()
    if password is not None:
        options["password"] = password
    if accounts.tls is not None:
        files = {
            "ssl_ca_certs": accounts.tls.ca,
            "ssl_certfile": accounts.tls.certificate,
            "ssl_keyfile": accounts.tls.key,
        }
        options |= {name: str(file) for name, file in files.items() if file is not None}
    return options


async def _for_ever() -> None:
    await asyncio.Event().wait()
