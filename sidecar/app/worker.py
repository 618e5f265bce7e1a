"""One of several workers: it serves, and tells the parent how it is."""

import asyncio
import gc
import multiprocessing
import signal
from functools import partial
from pathlib import Path

from sidecar.adapters.clock import SystemClock
from sidecar.admin.worker_desks import open_to_parent
from sidecar.admission import Budgets
from sidecar.app.doors import Sockets
from sidecar.app.handing_on import HandingOn
from sidecar.app.loop import run_in_loop
from sidecar.app.observing import observing
from sidecar.app.running import Job, running
from sidecar.app.serving import Serving, serving_with
from sidecar.app.stopping import Stop, stop_on_signals
from sidecar.app.supervisor import Readiness
from sidecar.observability import process_log
from sidecar.ports import Clock
from sidecar.settings import Settings

_REPORT_SECONDS = 0.1
# Collections of the younger generations before a full one: that is about 700,000 objects more, or
# 300 MB at worst, where uploads are broken off in numbers. All else is freed when it ends.
_YOUNG_BETWEEN_FULL = 100


def work(
    settings: Settings,
    secret: bytes,
    directory: Path,
    patience: float | None,
    number: int,
    readiness: Readiness,
    sockets: Sockets,
) -> None:
    """Serve as one of several workers: the parent answers the admin listener for all.

    It is asked for what it has in flight by a socket in ``directory``.
    Connections are accepted when it is ready, or after ``patience`` seconds, if there is an end.
    """
    # What was imported before the fork. To look for garbage in it took 55 of the 85 ms of a start.
    gc.freeze()
    process_log.configure(settings.log.level)
    run_in_loop(_work(settings, secret, directory, patience, number, readiness, sockets))


async def _work(
    settings: Settings,
    secret: bytes,
    directory: Path,
    patience: float | None,
    number: int,
    readiness: Readiness,
    sockets: Sockets,
) -> None:
    clock, listen, budgets = SystemClock(), settings.listen, Budgets()
    with observing(clock) as observed:
        watched = observed(settings)
        async with (
            stop_on_signals(as_worker=True) as stop,
            open_to_parent(watched.desk, directory),
            serving_with(
                settings, watched, clock, sockets, secret=secret, budgets=budgets
            ) as served,
        ):
            _end_with_parent(stop)
            spare_what_stays()
            await served.ready(patience, stop)
            await served.listen()
            report = partial(_report_readiness, served, number, readiness, clock)
            handing_on = HandingOn(budgets, directory, number, clock)
            jobs: list[Job] = [report, partial(handing_on.give, stop)]
            jobs += [partial(handing_on.take, stop)] if patience is None and len(budgets) else []
            async with running(*jobs):
                await served.serve(stop, listen.drain_seconds, listen.shutdown_seconds)


def spare_what_stays() -> None:
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
    served: Serving, number: int, readiness: Readiness, clock: Clock
) -> None:
    while True:
        ready, accepting = served.is_ready(), served.accepts()
        readiness.report(number, clock, ready=ready, accepting=accepting)
        await asyncio.sleep(_REPORT_SECONDS)
