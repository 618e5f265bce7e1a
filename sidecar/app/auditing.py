"""Who hears of changes: the log and the metrics, and where there is an admin API its trail too."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from sidecar.adapters.account_keys import AccountKeys
from sidecar.adapters.audit_trail import AuditLog, AuditTrail, MemoryAuditLog, RedisAuditLog
from sidecar.adapters.redis_client import open_redis
from sidecar.app.parts import MEMORY, redis_options
from sidecar.app.running import running
from sidecar.app.storing import STORE_SECONDS
from sidecar.observability.decision_log import audit_line
from sidecar.ports import Auditor, AuditRecord
from sidecar.settings import Settings

_SETTLE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Auditing:
    """Implements ``ports.Auditor``: the log first, as it cannot fail. ``trail`` is what is kept."""

    log: Auditor
    trail: AuditTrail | None = None

    def audited(self, record: AuditRecord) -> None:
        self.log.audited(record)
        if self.trail is not None:
            self.trail.audited(record)


@asynccontextmanager
async def auditing(
    settings: Settings, log: Auditor, lost: Callable[[], None]
) -> AsyncIterator[Auditing]:
    """Give who hears of changes until the block ends; ``lost`` is called for each one lost."""
    if not settings.admin.has_api:
        yield Auditing(log)
        return
    async with _audit_log(settings) as kept:
        trail = AuditTrail(kept, audit_line, lost)
        async with running(trail.run):
            try:
                yield Auditing(log, trail)
            finally:
                await trail.settle(_SETTLE_SECONDS)


@asynccontextmanager
async def _audit_log(settings: Settings) -> AsyncIterator[AuditLog]:
    accounts, entries = settings.accounts, settings.admin.audit_entries
    if accounts.url.startswith(MEMORY):
        yield MemoryAuditLog(entries)
        return
    options, prefix = redis_options(settings), accounts.prefix
    async with open_redis(accounts.url, options, prefix, STORE_SECONDS) as client:
        yield RedisAuditLog(client, AccountKeys(prefix).audit, entries)
