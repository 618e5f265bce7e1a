"""What follows changes of the gateway's accounts, joined where the settings ask for it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sidecar.account_mirror import AccountMirror, MirrorRules
from sidecar.app.storing import open_store
from sidecar.ports import AccountView, Auditor, Clock
from sidecar.service_accounts import ServiceAccounts
from sidecar.settings import Settings


@asynccontextmanager
async def mirroring(
    settings: Settings, view: AccountView, clock: Clock, auditor: Auditor
) -> AsyncIterator[AccountMirror | None]:
    """Give the mirror until the block ends; None where nothing is to be followed."""
    wanted = settings.mirror
    if wanted is None:
        yield None
        return
    rules = MirrorRules(wanted.realm, frozenset(wanted.admin_groups), settings.preset_prefix)
    async with open_store(settings, view) as store:
        yield AccountMirror(
            lambda actor: ServiceAccounts(store, clock, auditor, actor=actor), rules
        )
