"""What the console shows and changes, and what of the settings it has to know."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from sidecar.adapters.audit_trail import AuditTrail
from sidecar.adapters.store_revision import Mark
from sidecar.admin.desk import Desk
from sidecar.admin.realms import Realms
from sidecar.core.last_use import UseRecord
from sidecar.observability.workers import Figures
from sidecar.ports import Clock
from sidecar.revocations import Revocations
from sidecar.service_accounts import ServiceAccounts

ReadUses = Callable[[str, Sequence[str]], Awaitable[UseRecord]]


@dataclass(frozen=True, slots=True)
class KnownIssuer:
    """An issuer of the settings, and how old its keys may be (seconds): fresh, and usable."""

    name: str
    realm: str
    max_age: float
    max_stale: float


@dataclass(frozen=True, slots=True)
class Facts:
    """What the settings say. ``max_staleness`` is in seconds; ``upstream`` are addresses."""

    issuers: tuple[KnownIssuer, ...]
    routes: tuple[str, ...]
    upstream: tuple[str, ...]
    max_staleness: float


@dataclass(frozen=True, slots=True)
class Backing:
    """What is behind the pages. ``accounts`` and ``revocations`` give use cases for an actor.

    ``read_uses`` is there where it is recorded when accounts were last used, ``mark`` where the
    store has a revision.
    """

    realms: Realms
    accounts: Callable[[str], ServiceAccounts]
    revocations: Callable[[str], Revocations]
    desk: Desk
    trail: AuditTrail
    clock: Clock
    figures: Figures
    facts: Facts
    mark: Callable[[], Awaitable[Mark]] | None = None
    read_uses: ReadUses | None = None
