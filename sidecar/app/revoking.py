"""The revocation endpoint, joined from its parts where the settings name clients for it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sidecar.admin.listener import Revoke
from sidecar.admin.revocation_endpoint import RevocationClient, RevocationEndpoint
from sidecar.app.storing import open_store
from sidecar.introspection import Introspector
from sidecar.ports import AccountView, Auditor, Clock, KeySource
from sidecar.revocations import Revocations, TokenVerifier
from sidecar.settings import Settings


@asynccontextmanager
async def revoking(
    settings: Settings,
    keys: KeySource,
    introspector: Introspector,
    view: AccountView | None,
    clock: Clock,
    auditor: Auditor,
) -> AsyncIterator[Revoke | None]:
    """Give what answers the endpoint until the block ends; None where nobody may revoke.

    ``view`` is this process's account view, if it has one: in ``memory://`` it is the store too.
    """
    clients = [
        RevocationClient(each.client_id, each.read_secret())
        for each in settings.admin.revocation_clients
    ]
    if not clients:
        yield None
        return
    verifier = TokenVerifier(
        keys, settings.issuer_rules(), settings.limits.max_token_bytes, introspector
    )
    async with open_store(settings, view) as store:
        yield RevocationEndpoint(
            clients,
            verifier,
            lambda actor: Revocations(store, clock, auditor, actor=actor),
        ).answer
