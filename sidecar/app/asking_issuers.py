"""Whom decisions ask beside keys and accounts: introspection, status lists, used proofs."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Protocol

from sidecar.adapters.provider_client import ProviderClient
from sidecar.adapters.provider_keys import Provider
from sidecar.adapters.status_lists import StatusListSource
from sidecar.app.introspecting import open_introspector
from sidecar.app.parts import provider_contexts
from sidecar.app.proving import open_proofs
from sidecar.app.running import running
from sidecar.decision_services import DecisionServices
from sidecar.introspection import IntrospectionObserver
from sidecar.ports import Clock, KeySource
from sidecar.revocations import verify_fresh
from sidecar.settings import Settings
from sidecar.status_lists import NoStatusLists, StatusListObserver, StatusLists

_MAX_BYTES = 1024 * 1024


class Heard(IntrospectionObserver, StatusListObserver, Protocol):
    """Hears of both."""


@asynccontextmanager
async def open_services(
    settings: Settings, keys: KeySource, clock: Clock, heard: Heard
) -> AsyncIterator[DecisionServices]:
    """Open what asks, until the block ends.

    Raises:
        OSError, ValueError: a certificate's file is no longer what it was.
    """
    async with (
        open_introspector(settings, clock, heard) as introspector,
        _open_lists(settings, keys, clock, heard) as lists,
        open_proofs(settings, clock) as proofs,
    ):
        yield DecisionServices(introspector, lists, proofs)


@asynccontextmanager
async def _open_lists(
    settings: Settings, keys: KeySource, clock: Clock, heard: StatusListObserver
) -> AsyncIterator[StatusLists]:
    providers = {
        each.issuer: Provider(each.rules(), insecure_http=each.insecure_http)
        for each in settings.issuers
        if each.status_list is not None
    }
    if not providers:
        yield NoStatusLists()
        return
    max_ages: Mapping[str, float] = {
        each.issuer: each.status_list.max_age for each in settings.issuers if each.status_list
    }
    async with ProviderClient(
        settings.keys.timeout,
        _MAX_BYTES,
        provider_contexts(settings),
        "application/statuslist+jwt",
    ) as client:
        source = StatusListSource(
            providers.values(),
            client.fetch,
            partial(verify_fresh, keys=keys),
            clock,
            heard,
            max_ages,
        )
        async with running(source.run):
            yield source
