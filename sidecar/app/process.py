"""``sidecar run``: one process that serves, or a parent that watches several."""

import asyncio
import logging
import os
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, closing, nullcontext
from dataclasses import dataclass
from functools import partial

from sidecar import __version__
from sidecar.adapters.clock import SystemClock
from sidecar.adapters.service_manager import ServiceManager
from sidecar.admin.event_listener import EventListener
from sidecar.admin.listener import AdminListener, Render
from sidecar.admission import Budgets
from sidecar.app.administering import Endpoints, administering_for_workers
from sidecar.app.asserting import Published, assertion_keys, new_secret
from sidecar.app.descriptors import raise_limit
from sidecar.app.doors import (
    SharedDoors,
    Sockets,
    close_all,
    doors_of,
    duplicates_of,
    open_doors,
)
from sidecar.app.generations import Generations, NotReplaced, Opened
from sidecar.app.loop import run_in_loop
from sidecar.app.observing import observing
from sidecar.app.parts import admin_context, renew_admin_context
from sidecar.app.receiving import make_event_listener, renew_event_context
from sidecar.app.reloading import Load, Reloader
from sidecar.app.running import running
from sidecar.app.serving import Serving, serving_with
from sidecar.app.shadowing import tell_of_shadow
from sidecar.app.stopping import Stop, hangups, stop_on_signals
from sidecar.app.supervisor import Supervisor, metrics_directory, prepare_forks
from sidecar.app.worker import spare_what_stays, work
from sidecar.core.build import BUILD
from sidecar.observability import exposition, process_log
from sidecar.observability.change_counter import ChangeCounter
from sidecar.observability.upkeep import Upkeep
from sidecar.observability.workers import all_workers, this_worker
from sidecar.ports import Clock
from sidecar.settings import Settings

log = logging.getLogger(__name__)

_READY_SECONDS = 30.0
_PATIENCE_SECONDS = 1.0
_SPARE_SECONDS = 5.0
# The program itself: what the workers would import one by one.
_IMPORTED = ["sidecar.app.process", "sidecar.__main__"]


@dataclass(frozen=True, slots=True)
class _Pages:
    """What the admin listener shows: the metrics summed up, and by worker, and keys."""

    render: Render
    workers: Callable[[], bytes]
    assertion_keys: Callable[[Settings], Published | None]


def run(settings: Settings, load: Load) -> None:
    """Serve until SIGTERM or SIGINT, then end in good order; at SIGHUP ``load`` new settings.

    Raises:
        OSError: an address cannot be listened on.
    """
    serve = _serve_alone if settings.worker_count() == 1 else _serve_with_workers
    raise_limit()
    run_in_loop(serve(settings, load, new_secret()))


async def _serve_alone(settings: Settings, load: Load, secret: bytes) -> None:
    clock = SystemClock()
    upkeep, budgets = Upkeep(clock.now()), Budgets()
    with observing(clock) as observed, open_doors(doors_of(settings)) as sockets:
        watched = observed(settings)
        watched.metrics.registry.register(upkeep)

        @asynccontextmanager
        async def opened(settings: Settings, succeeds: bool) -> AsyncIterator[_Alone]:  # noqa: FBT001
            with duplicates_of(sockets) as own:
                async with serving_with(
                    settings,
                    observed(settings),
                    clock,
                    own,
                    secret=secret,
                    administers=True,
                    budgets=budgets,
                ) as served:
                    if succeeds:
                        await served.ready()
                    await served.listen()
                    yield _Alone(served, settings)

        pages = _Pages(
            watched.metrics.render,
            partial(this_worker, watched.metrics),
            partial(assertion_keys, secret=secret, clock=clock),
        )
        await _serve(settings, load, opened, pages, upkeep, sockets, partial(close_all, sockets))


async def _serve_with_workers(settings: Settings, load: Load, secret: bytes) -> None:
    clock = SystemClock()
    upkeep = Upkeep(clock.now())
    with (
        metrics_directory() as directory,
        closing(SharedDoors(doors_of(settings), settings.worker_count())) as doors,
    ):
        prepare_forks(_IMPORTED)
        changes = ChangeCounter()
        changes.registry.register(upkeep)

        @asynccontextmanager
        async def opened(settings: Settings, succeeds: bool) -> AsyncIterator[_Fleet]:  # noqa: FBT001
            supervisor = Supervisor(
                # The first ones answer from the start, if only that they cannot decide yet.
                partial(work, settings, secret, directory, None if succeeds else 0.0),
                partial(work, settings, secret, directory, _PATIENCE_SECONDS),
                doors,
                clock,
                exposition.forget_worker,
                upkeep.worker_restarted,
            )
            administered = administering_for_workers(settings, clock, changes, directory)
            async with administered as endpoints:
                yield _Fleet(supervisor, endpoints, settings, clock)

        render = partial(exposition.render_all, directory, changes)
        pages = _Pages(
            render,
            partial(all_workers, directory),
            partial(assertion_keys, secret=secret, clock=clock),
        )
        await _serve(settings, load, opened, pages, upkeep, doors.of_worker(0), doors.close)


async def _serve(
    settings: Settings,
    load: Load,
    opened: Opened,
    pages: _Pages,
    upkeep: Upkeep,
    sockets: Sockets,
    leave: Callable[[], None],
) -> None:
    """Serve with one generation after another, and the admin listener beside them all."""
    async with hangups() as hangup, stop_on_signals() as stop:
        tasks = asyncio.TaskGroup()
        generations = Generations(opened, tasks, stop, _READY_SECONDS)
        tls, listener = admin_context(settings), make_event_listener(settings)
        host, port, probes = settings.admin.host, settings.admin.port, generations.probes
        admin = AdminListener(
            host, port, probes=probes, render=pages.render, workers=pages.workers, tls=tls
        )

        async def replace(settings: Settings) -> None:
            keys = _keys_of(pages, settings)
            _renew(tls, listener, settings)
            await generations.replace(settings)
            process_log.configure(settings.log.level)
            tell_of_shadow(admin, settings)
            _answer_by(admin, listener, generations.endpoints, keys)

        async with admin, listener or nullcontext(), tasks:
            await generations.begin(settings)
            _answer_by(admin, listener, generations.endpoints, pages.assertion_keys(settings))
            spare_what_stays()
            _tell_where(settings, sockets, listener, admin)
            manager = ServiceManager(os.environ)
            reloader = Reloader(load, settings, replace, upkeep, SystemClock(), manager)
            await _until_asked(stop, hangup, reloader, manager)
            # Whoever serves has duplicates: now no queue stays open behind the last who accepts.
            leave()


async def _until_asked(
    stop: Stop, hangup: asyncio.Event, reloader: Reloader, manager: ServiceManager
) -> None:
    async with running(partial(reloader.run, hangup)):
        manager.ready()
        await stop.asked.wait()
    manager.stopping()


def _answer_by(
    admin: AdminListener,
    events: EventListener | None,
    endpoints: Endpoints,
    keys: Published | None,
) -> None:
    admin.revoke, admin.api, admin.console = endpoints.revoke, endpoints.api, endpoints.console
    admin.assertion_keys = keys
    if events is not None:
        events.receive = endpoints.receive


def _keys_of(pages: _Pages, settings: Settings) -> Published | None:
    try:
        return pages.assertion_keys(settings)
    except (OSError, ValueError) as error:
        raise NotReplaced(f"assertion.secret_file: {error}") from None


def _renew(tls: ssl.SSLContext | None, events: EventListener | None, settings: Settings) -> None:
    try:
        renew_admin_context(tls, settings)
        renew_event_context(events, settings)
    except OSError as error:
        raise NotReplaced(f"admin.tls, or events.tls: {error}") from None


def _tell_where(
    settings: Settings, sockets: Sockets, events: EventListener | None, admin: AdminListener
) -> None:
    tell_of_shadow(admin, settings)
    log.info("sidecar %s, build: %s", __version__, BUILD)
    for door in doors_of(settings):
        name = "listening" if door.name == "listen" else door.name
        log.info("%s on %s", name, door.url(sockets[door.name]))
    if events is not None:
        log.info("events on %s", events.url)
    log.info("admin on %s", admin.url)


@dataclass(frozen=True, slots=True)
class _Alone:
    """This process serves by itself."""

    served: Serving
    settings: Settings

    @property
    def endpoints(self) -> Endpoints:
        return self.served.endpoints

    def probes(self) -> Mapping[str, bool]:
        return self.served.probes()

    def is_ready(self) -> bool:
        return self.served.is_ready()

    def accepts(self) -> bool:
        return self.served.accepts()

    async def serve(self, stop: Stop) -> None:
        listen = self.settings.listen
        await self.served.serve(stop, listen.drain_seconds, listen.shutdown_seconds)


@dataclass(frozen=True, slots=True)
class _Fleet:
    """Workers serve, this process watches them."""

    supervisor: Supervisor
    endpoints: Endpoints
    settings: Settings
    clock: Clock

    def probes(self) -> Mapping[str, bool]:
        return self.supervisor.readiness.probes(self.clock)

    def is_ready(self) -> bool:
        return self.supervisor.readiness.is_complete(self.clock)

    def accepts(self) -> bool:
        return self.supervisor.readiness.accepts()

    async def serve(self, stop: Stop) -> None:
        listen = self.settings.listen
        grace = listen.drain_seconds + listen.shutdown_seconds + _SPARE_SECONDS
        await self.supervisor.run(stop, grace)
