"""The sidecar in one process: its parts joined and running."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType

from sidecar.adapters.clock import SystemClock
from sidecar.adapters.key_source import JwksKeySource
from sidecar.admin.listener import AdminListener
from sidecar.admission import Budgets
from sidecar.app.administering import Endpoints, Office, administering
from sidecar.app.asking_issuers import open_services
from sidecar.app.asserting import assertion_keys, make_assertions, new_secret
from sidecar.app.auditing import Auditing, auditing
from sidecar.app.doors import Front, Opening, Sockets
from sidecar.app.fronts import Shared, fronts_of
from sidecar.app.limiting import admitting
from sidecar.app.mirroring import mirroring
from sidecar.app.observing import Observing, observing
from sidecar.app.parts import (
    Accounts,
    admin_context,
    make_accounts,
    make_authorizer,
    open_keys,
)
from sidecar.app.recording import recording
from sidecar.app.running import Job, running
from sidecar.app.stopping import Stop
from sidecar.app.syncing import keep_in_step
from sidecar.app.tracing import tracing
from sidecar.authorize import Authorizer
from sidecar.decision_services import DecisionServices
from sidecar.observability.upstream_metrics import UpstreamHealth
from sidecar.observability.workers import own_figures, this_worker
from sidecar.ports import Clock, KeySource
from sidecar.rules import Admission
from sidecar.settings import Settings
from sidecar.status_guard import StatusGuard
from sidecar.stream_guard import StreamGuard
from sidecar.streams import Streams

log = logging.getLogger(__name__)

_REPORT_SECONDS = 0.1
_POLL_SECONDS = 0.01

Probes = Callable[[], Mapping[str, bool]]


@dataclass
class Serving:
    """A sidecar; it runs, and listens once it is told to.

    ``admin_url`` is empty where another one answers for it.
    """

    _openings: Sequence[Opening]
    _stack: AsyncExitStack
    _probes: Probes
    endpoints: Endpoints
    url: str = ""
    admin_url: str = ""
    _fronts: list[Front] = field(default_factory=list)
    _is_leaving: bool = False

    async def listen(self) -> None:
        """Accept connections. Raises OSError where an address cannot be listened on."""
        for opening in self._openings:
            self._fronts.append(await self._stack.enter_async_context(opening()))
        self.url = self._fronts[0].url

    def probes(self) -> Mapping[str, bool]:
        """Return what has to hold for requests to be granted, by name."""
        return {**self._probes(), "staying": not self._is_leaving}

    def is_leaving(self) -> bool:
        """Return whether it was told to stop; others do what only one may do."""
        return self._is_leaving

    def is_ready(self) -> bool:
        """Return whether keys are loaded and the account view is live."""
        return all(self.probes().values())

    def accepts(self) -> bool:
        """Return whether a new connection may still come to it."""
        return any(front.is_accepting for front in self._fronts)

    async def ready(self, patience: float | None = None, stop: Stop | None = None) -> None:
        """Wait until it is ready, ``patience`` seconds at most, and not if it is to ``stop``."""
        try:
            async with asyncio.timeout(patience):
                while not (self.is_ready() or (stop is not None and stop.asked.is_set())):  # noqa: ASYNC110 - it comes from several sides
                    await asyncio.sleep(_POLL_SECONDS)
        except TimeoutError:
            pass

    async def serve(self, stop: Stop, drain_seconds: float, shutdown_seconds: float) -> None:
        """Serve until ``stop``, then end in good order.

        Unready first, so that no more work comes; then finish what there is. One that is relieved
        accepts nothing more at once: its successor does.
        """
        await stop.asked.wait()
        log.info("ending: requests in flight may finish")
        self._is_leaving = True
        for front in self._fronts:
            front.dismiss()
        if stop.is_relieved:
            await asyncio.gather(*(front.stop_accepting() for front in self._fronts))
        await stop.lasts(drain_seconds)
        seconds = 0.0 if stop.hurried.is_set() else shutdown_seconds
        await asyncio.gather(*(front.drain(seconds) for front in self._fronts))
        log.info("ended")


@asynccontextmanager
async def serving(settings: Settings) -> AsyncIterator[Serving]:
    """Serve until the block ends. Keys and accounts may still be on their way: see ``ready``.

    Raises:
        OSError: an address cannot be listened on.
    """
    clock, secret = SystemClock(), new_secret()
    with observing(clock) as observed:
        watched = observed(settings)
        async with serving_with(
            settings, watched, clock, secret=secret, administers=True
        ) as served:
            await served.listen()
            admin = settings.admin
            async with AdminListener(
                admin.host,
                admin.port,
                probes=served.probes,
                render=watched.metrics.render,
                workers=partial(this_worker, watched.metrics),
                revoke=served.endpoints.revoke,
                tls=admin_context(settings),
            ) as listener:
                listener.api, listener.console = served.endpoints.api, served.endpoints.console
                listener.assertion_keys = assertion_keys(settings, secret, clock)
                served.admin_url = listener.url
                yield served


@asynccontextmanager
async def serving_with(
    settings: Settings,
    observed: Observing,
    clock: Clock,
    sockets: Sockets = MappingProxyType({}),
    *,
    secret: bytes,
    administers: bool = False,
    budgets: Budgets | None = None,
) -> AsyncIterator[Serving]:
    """Run until the block ends, without an admin listener.

    ``sockets`` are those of doors that are bound already, ``secret`` signs assertions if no other
    does, ``administers`` also makes what operators' listeners answer by. ``budgets`` outlive it.
    """
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        tracer = await enter(tracing(settings, observed, clock))
        accounts = make_accounts(settings, clock, observed.observer)
        keys = await enter(_keys(settings, observed, clock))
        services = await enter(open_services(settings, keys, clock, observed.introspection))
        streams = stack.enter_context(observed.streams(clock))
        audit = await enter(_auditing(settings, observed))
        office = _office(observed, keys, accounts, audit, clock, services)
        endpoints = await enter(_offered(settings, office, administers=administers))
        mirror = await enter(mirroring(settings, accounts.view, clock, audit))
        jobs = _jobs(settings, streams, keys, accounts, clock, services, observed)
        await enter(running(*jobs, await enter(recording(settings, observed, clock))))
        admission = await enter(admitting(settings, observed, streams, clock, budgets))
        judge = _judge(settings, keys, accounts, clock, observed, services, admission)
        identity = settings.identity(make_assertions(settings, secret, clock))
        health = stack.enter_context(observed.upstream.health())
        probes = partial(_probes, settings, keys, accounts, health)
        watch = observed.observer
        shared = Shared(judge, identity, streams, clock, watch, probes, mirror, health, tracer)
        openings = await enter(fronts_of(settings, shared, sockets))
        served = Serving(openings, stack, shared.probes, endpoints)
        step = partial(keep_in_step, settings, accounts.view, clock, audit, observed.sync)
        await enter(running(partial(step, served.is_leaving)))
        yield served


@asynccontextmanager
async def _keys(
    settings: Settings, observed: Observing, clock: Clock
) -> AsyncIterator[JwksKeySource]:
    with observed.metrics.issuers([each.issuer for each in settings.issuers]):
        async with open_keys(settings, clock, observed.observer) as keys:
            yield keys


def _auditing(settings: Settings, observed: Observing) -> AbstractAsyncContextManager[Auditing]:
    return auditing(settings, observed.observer, observed.metrics.changes.audit_lost)


def _office(
    observed: Observing,
    keys: KeySource,
    accounts: Accounts,
    audit: Auditing,
    clock: Clock,
    services: DecisionServices,
) -> Office:
    figures, counter = own_figures(observed.metrics), observed.metrics.changes
    view, desk = accounts.view, observed.desk
    return Office(keys, view, clock, audit, desk, counter, figures, services)


def _offered(
    settings: Settings, office: Office, *, administers: bool
) -> AbstractAsyncContextManager[Endpoints]:
    return administering(settings, office) if administers else nullcontext(Endpoints())


def _judge(
    settings: Settings,
    keys: KeySource,
    accounts: Accounts,
    clock: Clock,
    observed: Observing,
    services: DecisionServices,
    admission: Admission,
) -> Authorizer:
    observer = observed.observer
    return make_authorizer(
        settings, keys, accounts.view, clock, observer, services, admission=admission
    )


def _jobs(
    settings: Settings,
    streams: Streams,
    keys: JwksKeySource,
    accounts: Accounts,
    clock: Clock,
    services: DecisionServices,
    observed: Observing,
) -> list[Job]:
    leeways = {issuer.issuer: issuer.leeway for issuer in settings.issuers}
    guard = StreamGuard(streams, accounts.view, clock, leeways, on_expiry=settings.streams.expired)
    report = partial(_report, accounts, settings, clock, observed)
    jobs: list[Job] = [keys.run, accounts.run, accounts.remember, guard.run, report]
    if any(issuer.status_list is not None for issuer in settings.issuers):
        jobs.append(StatusGuard(streams, services.status_lists).run)
    return jobs


def _probes(
    settings: Settings, keys: JwksKeySource, accounts: Accounts, upstream: UpstreamHealth
) -> Mapping[str, bool]:
    probes = {"keys": keys.is_ready(), "accounts": accounts.view.is_live()}
    asked = settings.upstream
    if asked is not None and asked.health is not None and asked.health.readiness:
        probes["upstream"] = upstream.has_healthy
    return probes


async def _report(
    accounts: Accounts, settings: Settings, clock: Clock, observed: Observing
) -> None:
    in_shadow = settings.routes_table().in_shadow
    while True:
        observed.metrics.shadow.in_force(in_shadow)
        proven_at = accounts.proven_at()
        ago = None if proven_at is None else clock.steady() - proven_at
        observed.metrics.view_state(
            live=accounts.view.is_live(), proven_at=None if ago is None else clock.now() - ago
        )
        observed.metrics.flush()
        await asyncio.sleep(_REPORT_SECONDS)
