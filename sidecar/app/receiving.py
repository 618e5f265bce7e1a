"""Receiving security events, joined from its parts where the settings name transmitters."""

import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial

from sidecar.adapters.account_keys import AccountKeys
from sidecar.adapters.discovery import shared_signals_url
from sidecar.adapters.event_memory import OwnEventMemory, RedisEventMemory
from sidecar.adapters.key_source import JwksKeySource, Provider
from sidecar.adapters.memory_accounts import MemoryAccounts
from sidecar.adapters.provider_client import ProviderClient
from sidecar.adapters.redis_client import open_redis
from sidecar.admin.event_listener import EventListener, Receive
from sidecar.admin.event_receiver import Entrance, EventReceiver
from sidecar.app.parts import key_policy, redis_options
from sidecar.app.running import running
from sidecar.app.storing import STORE_SECONDS, open_store
from sidecar.app.tls import client_context, server_context
from sidecar.observability.change_counter import ChangeCounter
from sidecar.observability.silent import SilentObserver
from sidecar.ports import AccountStore, AccountView, Auditor, Clock
from sidecar.revocations import Revocations
from sidecar.security_events import Desk, EventMemory, EventSink
from sidecar.service_accounts import ServiceAccounts
from sidecar.settings import Settings
from sidecar.settings.events import Events, Receiver


@asynccontextmanager
async def receiving(
    settings: Settings,
    view: AccountView | None,
    clock: Clock,
    auditor: Auditor,
    counter: ChangeCounter,
) -> AsyncIterator[Receive | None]:
    """Give what answers pushes until the block ends; None where nobody may push.

    Raises:
        OSError, ValueError: a secret's file is no longer what it was.
    """
    events = settings.events
    if events is None:
        yield None
        return
    realms = {each.issuer: each.realm for each in settings.issuers}
    async with (
        _open_keys(settings, events, clock) as keys,
        open_store(settings, view) as store,
        _open_memory(settings, view, clock) as memory,
        running(keys.run),
    ):
        entrances = {
            each.name: Entrance(
                each.read_secret(),
                EventSink(
                    each.transmitter(realms),
                    each.signer(),
                    keys,
                    memory,
                    _desk(each, store, clock, auditor),
                    clock,
                    partial(counter.event_received, each.name),
                ).take,
            )
            for each in events.receivers
        }
        yield EventReceiver(entrances, clock).answer


def make_event_listener(settings: Settings) -> EventListener | None:
    """Return what listens for pushes, not yet listening; None where nobody may push.

    Raises:
        ValueError: a file of its TLS is not what it should be.
    """
    events = settings.events
    if events is None:
        return None
    tls = events.tls
    context = None if tls is None else server_context(tls.certificate, tls.key, tls.client_ca)
    return EventListener(events.host, events.port, context)


def renew_event_context(listener: EventListener | None, settings: Settings) -> None:
    """Show the certificate that is in its file now, to connections that come from here on.

    Raises:
        OSError: the files are not what they should be.
    """
    tls = None if settings.events is None else settings.events.tls
    if listener is not None and listener.tls is not None and tls is not None:
        listener.tls.load_cert_chain(tls.certificate, tls.key)


def event_problems(settings: Settings) -> None:
    """Look whether the listener's files can be used, and the receivers'. Raises ValueError."""
    make_event_listener(settings)
    if settings.events is not None:
        _contexts(settings.events)


def _contexts(events: Events) -> Mapping[str, ssl.SSLContext]:
    return {
        each.issuer: client_context(each.ca) for each in events.receivers if each.ca is not None
    }


def _desk(receiver: Receiver, store: AccountStore, clock: Clock, auditor: Auditor) -> Desk:
    actor = f"event:{receiver.name}"
    return Desk(
        ServiceAccounts(store, clock, auditor, actor=actor),
        Revocations(store, clock, auditor, actor=actor),
    )


@asynccontextmanager
async def _open_keys(
    settings: Settings, events: Events, clock: Clock
) -> AsyncIterator[JwksKeySource]:
    policy = key_policy(settings)
    contexts = _contexts(events)
    providers = [
        Provider(
            each.signer(), each.jwks_url, each.insecure_http, (shared_signals_url(each.issuer),)
        )
        for each in events.receivers
    ]
    async with ProviderClient(settings.keys.timeout, settings.keys.max_bytes, contexts) as client:
        yield JwksKeySource(providers, policy, client.fetch, clock, SilentObserver())


@asynccontextmanager
async def _open_memory(
    settings: Settings, view: AccountView | None, clock: Clock
) -> AsyncIterator[EventMemory]:
    if isinstance(view, MemoryAccounts):
        yield OwnEventMemory(clock)
        return
    accounts = settings.accounts
    async with open_redis(
        accounts.url, redis_options(settings), accounts.prefix, STORE_SECONDS
    ) as client:
        yield RedisEventMemory(client, AccountKeys(accounts.prefix))
