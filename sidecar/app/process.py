"""``sidecar run``: one process that serves, or a parent that watches several."""

import asyncio
import gc
import logging
import multiprocessing
import signal
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial

from sidecar.adapters.clock import SystemClock
from sidecar.admin.listener import AdminListener, Revoke
from sidecar.app.parts import open_keys
from sidecar.app.revoking import revoking
from sidecar.app.serving import Serving, running, serving
from sidecar.app.stopping import Stop, stop_on_signals
from sidecar.app.supervisor import (
    Readiness,
    Supervisor,
    metrics_directory,
    reserved_port,
)
from sidecar.observability import metrics, process_log
from sidecar.observability.decision_log import DecisionLog, LineWriter, Logged
from sidecar.observability.observers import Observers
from sidecar.observability.silent import SilentObserver
from sidecar.observability.workers import all_workers
from sidecar.ports import Clock
from sidecar.settings import Settings

log = logging.getLogger(__name__)

_REPORT_SECONDS = 0.5
_SPARE_SECONDS = 5.0
# Collections of the younger generations before a full one: that is about two million objects more.
_YOUNG_BETWEEN_FULL = 300


def run(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT, then end in good order.

    Raises:
        OSError: an address cannot be listened on.
    """
    workers = settings.worker_count()
    asyncio.run(_serve_alone(settings) if workers == 1 else _supervise(settings, workers))


async def _serve_alone(settings: Settings) -> None:
    async with stop_on_signals() as stop, serving(settings) as served:
        _spare_what_stays()
        _announce(served.url, served.admin_url)
        await stop.asked.wait()
        await _leave(served, settings, stop)


async def _supervise(settings: Settings, workers: int) -> None:
    clock = SystemClock()
    listen = settings.listen
    with (
        metrics_directory() as directory,
        reserved_port(listen.host, listen.port) as port,
    ):
        # The port that was found is the one that every worker listens on.
        settings = settings.model_copy(update={"listen": listen.model_copy(update={"port": port})})
        changes = metrics.ChangeCounter()
        supervisor = Supervisor(work, settings, workers, clock, metrics.forget_worker)
        async with (
            stop_on_signals() as stop,
            _revoking_for_workers(settings, clock, changes) as revoke,
            AdminListener(
                settings.admin.host,
                settings.admin.port,
                probes=partial(supervisor.readiness.probes, clock),
                render=partial(metrics.render_all, directory, changes),
                workers=partial(all_workers, directory),
                revoke=revoke,
            ) as admin,
        ):
            scheme = "http" if listen.tls is None else "https"
            _announce(f"{scheme}://{listen.host}:{port}", admin.url)
            await supervisor.run(
                stop.asked, listen.drain_seconds + listen.shutdown_seconds + _SPARE_SECONDS
            )


@asynccontextmanager
async def _revoking_for_workers(
    settings: Settings, clock: Clock, changes: metrics.ChangeCounter
) -> AsyncIterator[Revoke | None]:
    """Give the parent what the workers have and it has not: keys, and a log of what changed."""
    if not settings.admin.revocation_clients:
        yield None
        return
    with LineWriter(sys.stdout, dropped=_are_logged) as writer:
        audit = Observers(changes, DecisionLog(writer, Logged.NONE, clock))
        async with (
            open_keys(settings, clock, SilentObserver()) as keys,
            running(keys.run),
            revoking(settings, keys, None, clock, audit) as revoke,
        ):
            yield revoke


def _are_logged(lines: int) -> None:
    """Leave lost lines to the writer's own warning: the metrics are the workers'."""
    del lines


def work(settings: Settings, number: int, readiness: Readiness) -> None:
    """Serve as one of several workers: the parent answers the admin listener for all."""
    process_log.configure(settings.log.level)
    asyncio.run(_work(settings, number, readiness))


async def _work(settings: Settings, number: int, readiness: Readiness) -> None:
    clock = SystemClock()
    async with stop_on_signals() as stop, serving(settings, with_admin=False) as served:
        _end_with_parent(stop)
        _spare_what_stays()
        report = partial(_report_readiness, served.probes, number, readiness, clock)
        async with running(report):
            await stop.asked.wait()
            await _leave(served, settings, stop)


def _spare_what_stays() -> None:
    """Keep full garbage collections short and seldom: they stand the event loop still.

    What the start has made (modules, classes, settings) stays to the end, and took 60 to 110 ms to
    walk; it is taken out of sight. So are not the open streams: with 3000 of them it is 300 ms, and
    more than a lease. The younger generations, which get nearly all garbage, are left as they are.
    """
    gc.collect()
    gc.freeze()
    youngest, young, _ = gc.get_threshold()
    gc.set_threshold(youngest, young, _YOUNG_BETWEEN_FULL)


def _end_with_parent(stop: Stop) -> None:
    """End when the parent has died: nobody would replace this worker, or answer for it."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        loop = asyncio.get_running_loop()

        def heard() -> None:
            loop.remove_reader(parent.sentinel)
            stop.hear(signal.SIGTERM)

        loop.add_reader(parent.sentinel, heard)


async def _report_readiness(
    probes: Callable[[], Mapping[str, bool]], number: int, readiness: Readiness, clock: Clock
) -> None:
    while True:
        readiness.report(number, clock, ready=all(probes().values()))
        await asyncio.sleep(_REPORT_SECONDS)


async def _leave(served: Serving, settings: Settings, stop: Stop) -> None:
    """End in good order: unready first, so that no more work comes; then finish what there is."""
    log.info("ending: requests in flight may finish")
    served.dismiss()
    await stop.lasts(settings.listen.drain_seconds)
    await served.drain(0.0 if stop.hurried.is_set() else settings.listen.shutdown_seconds)
    log.info("ended")


def _announce(url: str, admin_url: str) -> None:
    log.info("listening on %s", url)
    log.info("admin on %s", admin_url)
