"""What needs a sign-in at the admin listener, joined: revocation, the API, the console."""

import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from sidecar.adapters.audit_trail import AuditTrail
from sidecar.adapters.redis_store import RedisAccountStore
from sidecar.admin.api import AdminApi
from sidecar.admin.audit import AuditOperations
from sidecar.admin.console.backing import Backing
from sidecar.admin.console.console import Console
from sidecar.admin.decisions import DecisionOperations
from sidecar.admin.desk import Desk
from sidecar.admin.event_listener import Receive
from sidecar.admin.gatekeeper import PATH, Gatekeeper
from sidecar.admin.listener import Api, Revoke
from sidecar.admin.operations import Operation
from sidecar.admin.realms import RealmOperations, Realms
from sidecar.admin.service_accounts import AccountOperations
from sidecar.admin.streams import StreamOperations
from sidecar.admin.worker_desks import WorkerDesks
from sidecar.app.asking_issuers import open_services
from sidecar.app.auditing import Auditing, auditing
from sidecar.app.console_facts import facts_of
from sidecar.app.parts import make_accounts, make_authorizer, open_keys
from sidecar.app.receiving import receiving
from sidecar.app.recording import open_recorded_use
from sidecar.app.revoking import revoking
from sidecar.app.running import Job, running
from sidecar.app.storing import STORE_SECONDS, open_store
from sidecar.authorize import Authorizer
from sidecar.core.routes import Requirement, Route, Routes
from sidecar.decision_services import DecisionServices
from sidecar.observability.change_counter import ChangeCounter
from sidecar.observability.decision_log import DecisionLog, LineWriter, Logged
from sidecar.observability.introspection_metrics import UnheardIntrospection
from sidecar.observability.observers import Observers
from sidecar.observability.silent import SilentObserver
from sidecar.observability.workers import Figures, figures_of_all
from sidecar.ports import AccountStore, AccountView, Clock, KeySource
from sidecar.revocations import Revocations
from sidecar.service_accounts import ServiceAccounts
from sidecar.settings import Settings


def _nothing() -> None:
    pass


@dataclass(frozen=True, slots=True)
class Endpoints:
    """What answers; None for what the settings let nobody use.

    ``retire`` ends what it goes on answering, once other settings are in force.
    """

    revoke: Revoke | None = None
    api: Api | None = None
    console: Api | None = None
    receive: Receive | None = None
    retire: Callable[[], None] = _nothing


@dataclass(frozen=True, slots=True)
class Office:
    """What the endpoints have beside the settings. ``view`` is this process's, if it has one."""

    keys: KeySource
    view: AccountView | None
    clock: Clock
    audit: Auditing
    desk: Desk
    counter: ChangeCounter
    figures: Figures
    services: DecisionServices


@dataclass(frozen=True, slots=True)
class _UseCases:
    """What can be done to accounts, in an actor's name."""

    store: AccountStore
    clock: Clock
    audit: Auditing

    def accounts(self, actor: str) -> ServiceAccounts:
        return ServiceAccounts(self.store, self.clock, self.audit, actor=actor)

    def revocations(self, actor: str) -> Revocations:
        return Revocations(self.store, self.clock, self.audit, actor=actor)


@asynccontextmanager
async def administering(settings: Settings, office: Office) -> AsyncIterator[Endpoints]:
    """Give what answers until the block ends.

    Raises:
        OSError, ValueError: a secret's file is no longer what it was.
    """
    keys, view, audit = office.keys, office.view, office.audit
    async with (
        revoking(settings, keys, office.services.introspector, view, office.clock, audit) as revoke,
        receiving(settings, view, office.clock, audit, office.counter) as receive,
    ):
        if audit.trail is None:
            yield Endpoints(revoke, receive=receive)
            return
        async with open_store(settings, view) as store:
            gatekeeper = Gatekeeper(
                _authorizer(settings, office),
                settings.admin.read_secret(),
                office.clock,
                office.counter.refused,
            )
            use_cases = _UseCases(store, office.clock, audit)
            rows = _rows(settings, office, use_cases, audit.trail, gatekeeper)
            api = AdminApi(gatekeeper, rows, audit.trail)
            shown = _console(settings, office, use_cases, audit.trail, gatekeeper)
            async with shown as console:
                yield Endpoints(revoke, api.answer, console, receive, gatekeeper.retire)


@asynccontextmanager
async def administering_for_workers(
    settings: Settings, clock: Clock, counter: ChangeCounter, directory: Path
) -> AsyncIterator[Endpoints]:
    """Give the parent what the workers have and it has not: keys, a view, a log of what changed."""
    admin = settings.admin
    if not (admin.revocation_clients or admin.has_api or settings.events):
        yield Endpoints()
        return
    silent = SilentObserver()
    async with AsyncExitStack() as stack:
        writer = stack.enter_context(LineWriter(sys.stdout, dropped=_are_logged, is_shared=True))
        log = Observers(counter, DecisionLog(writer, Logged.NONE, clock))
        keys = await stack.enter_async_context(open_keys(settings, clock, silent))
        view: AccountView | None = None
        jobs: list[Job] = [keys.run]
        if settings.admin.tokens:
            accounts = make_accounts(settings, clock, silent)
            view = accounts.view
            jobs += [accounts.run, accounts.remember]
        await stack.enter_async_context(running(*jobs))
        audit = await stack.enter_async_context(auditing(settings, log, counter.audit_lost))
        services = await stack.enter_async_context(
            open_services(settings, keys, clock, UnheardIntrospection())
        )
        figures = figures_of_all(directory, counter)
        desk = WorkerDesks(directory)
        office = Office(keys, view, clock, audit, desk, counter, figures, services)
        yield await stack.enter_async_context(administering(settings, office))


def _rows(
    settings: Settings,
    office: Office,
    use_cases: _UseCases,
    trail: AuditTrail,
    gatekeeper: Gatekeeper,
) -> tuple[Operation, ...]:
    realms = _realms(settings)
    return (
        *AccountOperations(realms, use_cases.accounts, use_cases.revocations).rows(),
        *RealmOperations(realms, use_cases.store, use_cases.revocations).rows(),
        *StreamOperations(realms, office.desk, office.clock, office.audit).rows(),
        *DecisionOperations(office.desk, gatekeeper.still_admits).rows(),
        *AuditOperations(trail).rows(),
    )


@asynccontextmanager
async def _console(
    settings: Settings,
    office: Office,
    use_cases: _UseCases,
    trail: AuditTrail,
    gatekeeper: Gatekeeper,
) -> AsyncIterator[Api | None]:
    if not settings.admin.console:
        yield None
        return
    async with AsyncExitStack() as stack:
        read_uses = None
        if settings.accounts.last_use is not None:
            recorded = open_recorded_use(settings, STORE_SECONDS)
            read_uses = (await stack.enter_async_context(recorded)).read
        store = use_cases.store
        console = Console(
            gatekeeper,
            Backing(
                _realms(settings),
                use_cases.accounts,
                use_cases.revocations,
                office.desk,
                trail,
                office.clock,
                office.figures,
                facts_of(settings),
                store.mark if isinstance(store, RedisAccountStore) else None,
                read_uses,
            ),
        )
        await stack.enter_async_context(running(console.run))
        yield console.answer


def _authorizer(settings: Settings, office: Office) -> Authorizer | None:
    """Return THE decision for a route of its own: an account in one of the admins' groups."""
    if not settings.admin.tokens or office.view is None:
        return None
    requirement = Requirement(groups=frozenset(settings.admin.groups))
    return make_authorizer(
        settings,
        office.keys,
        office.view,
        office.clock,
        SilentObserver(),
        replace(office.services, proofs=None),
        Routes((Route("admin-api", PATH, requirement=requirement),)),
    )


def _realms(settings: Settings) -> Realms:
    known = {issuer.realm for issuer in settings.issuers}
    default = next(iter(known)) if len(known) == 1 else "default"
    if settings.mirror is not None:
        default = settings.mirror.realm
        known.add(default)
    return Realms(frozenset(known), default)


def _are_logged(lines: int) -> None:
    """Leave lost lines to the writer's own warning: the metrics are the workers'."""
    del lines
