"""Several workers: processes that share the port (SO_REUSEPORT), watched by one parent.

The parent answers the admin listener for all of them: metrics are summed over the workers' files
(prometheus_client's multiprocess mode). A worker that ends by itself is replaced; a parent that is
told to end ends them all.

Workers are forked from a process that has imported everything and does nothing else (Python's
forkserver): one is there within 0.2 s of the death of another instead of after a second or more of
imports, and they share the memory of what was imported. Its own death is that of no worker: Python
starts another one, and the workers, who see it as their parent's, end in good order.
"""

import asyncio
import logging
import multiprocessing
import os
import random
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import forkserver
from multiprocessing.process import BaseProcess
from pathlib import Path

from sidecar.app.doors import SharedDoors, Sockets
from sidecar.app.stopping import RELIEF, Stop
from sidecar.ports import Clock

log = logging.getLogger(__name__)

_FORKS = multiprocessing.get_context("forkserver")
_READY_FOR_SECONDS = 2.0
_TELL_AGAIN_SECONDS = 0.5
_RESPAWN_SECONDS = (0.05, 5.0)
_LIVED_LONG_SECONDS = 10.0
_QUEUE_SECONDS = 0.5
_NEVER = -1.0


class Readiness:
    """One slot a worker, in shared memory, with the steady time at which it last was ready.

    A worker that hangs stops writing, and so ceases to be ready without anybody's saying so. One
    that has died or is starting anew is not counted: the others serve without it. In the beginning
    all are waited for, since those that are not ready yet get connections too.
    """

    def __init__(self, workers: int) -> None:
        self._slots = _FORKS.Array("d", [_NEVER] * workers, lock=False)
        self._accepting = _FORKS.Array("b", [False] * workers, lock=False)
        self._was_complete = False

    def report(self, worker: int, clock: Clock, *, ready: bool, accepting: bool) -> None:
        """Say how this worker is; called by the worker several times a second."""
        self._accepting[worker] = accepting
        if ready:
            self._slots[worker] = clock.steady()
        elif self._slots[worker] != _NEVER:
            self._slots[worker] = 0.0

    def forget(self, worker: int) -> None:
        """Note that this worker has died."""
        self._accepting[worker] = False
        self._slots[worker] = _NEVER

    def accepts(self) -> bool:
        """Return whether a new connection may still come to one of them."""
        return any(self._accepting)

    def probes(self, clock: Clock) -> Mapping[str, bool]:
        """Return which workers are ready, of those that have started, and whether there is one.

        Before all have been ready once, there is none.
        """
        now = clock.steady()
        started = {
            f"worker {number}": now - reported < _READY_FOR_SECONDS
            for number, reported in enumerate(self._slots)
            if reported != _NEVER
        }
        self._was_complete = self._was_complete or len(started) == len(self._slots)
        return {"workers": bool(started) and self._was_complete, **started}

    def is_complete(self, clock: Clock) -> bool:
        """Return whether all have started and are ready."""
        probes = self.probes(clock)
        return len(probes) == 1 + len(self._slots) and all(probes.values())


Work = Callable[[int, Readiness, Sockets], None]


@dataclass(slots=True)
class _Worker:
    number: int
    process: BaseProcess | None = None
    failures: int = 0


class Supervisor:
    """Keeps as many processes as ``doors`` are for running ``work(number, readiness, sockets)``.

    The first ones run ``first`` instead, ``work`` those that replace them.
    ``ended`` gets the process id of each that has ended, ``restarting`` is called before one that
    ended by itself is replaced.
    """

    def __init__(
        self,
        first: Work,
        work: Work,
        doors: SharedDoors,
        clock: Clock,
        ended: Callable[[int], None],
        restarting: Callable[[], None],
    ) -> None:
        self._first = first
        self._work = work
        self._doors = doors
        self._clock = clock
        self._ended = ended
        self._restarting = restarting
        self._workers = [_Worker(number) for number in range(doors.workers)]
        self._is_stopping = False
        self.readiness = Readiness(doors.workers)

    async def run(self, stop: Stop, grace_seconds: float) -> None:
        """Keep the workers running until ``stop``; then end them, with ``grace_seconds`` to go."""
        async with asyncio.TaskGroup() as tasks:
            keepers = [tasks.create_task(self._keep(worker)) for worker in self._workers]
            try:
                await stop.asked.wait()
                self._is_stopping = True
                for worker, keeper in zip(self._workers, keepers, strict=True):
                    if worker.process is None:
                        keeper.cancel()  # it waits to start another one
                await self._end(keepers, stop, grace_seconds)
            finally:
                self._is_stopping = True
                self._kill()

    async def _end(
        self, keepers: list[asyncio.Task[None]], stop: Stop, grace_seconds: float
    ) -> None:
        until = self._clock.steady() + grace_seconds
        while self._clock.steady() < until:
            # Again and again: one that is just starting hears nothing yet.
            if stop.hurried.is_set():
                self._tell(signal.SIGINT)
            else:
                self._tell(RELIEF if stop.is_relieved else signal.SIGTERM)
            _, late = await asyncio.wait(keepers, timeout=_TELL_AGAIN_SECONDS)
            if not late:
                return

    def _tell(self, number: int) -> None:
        for worker in self._workers:
            if worker.process is not None and worker.process.pid is not None:
                os.kill(worker.process.pid, number)

    def _kill(self) -> None:
        for worker in self._workers:
            if worker.process is not None:
                log.warning("worker %d did not end in time and is killed", worker.number)
                worker.process.kill()

    async def _keep(self, worker: _Worker) -> None:
        work = self._first
        while not self._is_stopping:
            began = self._clock.steady()
            process = _FORKS.Process(
                target=work,
                args=(worker.number, self.readiness, self._doors.of_worker(worker.number)),
                name=f"sidecar-worker-{worker.number}",
            )
            process.start()
            worker.process = process
            await _end_of(process)
            worker.process, work = None, self._work
            self.readiness.forget(worker.number)
            if process.pid is not None:
                self._ended(process.pid)
            if not self._is_stopping:
                lived_long = self._clock.steady() - began > _LIVED_LONG_SECONDS
                worker.failures = 0 if lived_long else worker.failures + 1
                await self._pause(worker, process.exitcode)

    async def _pause(self, worker: _Worker, exit_code: int | None) -> None:
        delay = pause_after(worker.failures)
        number = worker.number
        log.error("worker %d ended with %s; a new one in %.2f s", number, exit_code, delay)
        if delay > _QUEUE_SECONDS:
            # It would reset what waits in its queue; for the next one, if that is there soon, it is
            # kept.
            self._doors.renew(number)
        await asyncio.sleep(delay)
        self._restarting()


def pause_after(failures: int) -> float:
    """Return the seconds until another start: twice as many each time, and never in step."""
    shortest, longest = _RESPAWN_SECONDS
    return min(longest, shortest * 2.0 ** min(failures, 10)) * random.SystemRandom().uniform(0.5, 1)


def prepare_forks(modules: list[str]) -> None:
    """Start what workers are forked from, with ``modules`` imported.

    The signals that a terminal or a service manager sends to the whole group are not for it.
    """
    _FORKS.set_forkserver_preload(modules)
    ignored = {number: signal.signal(number, signal.SIG_IGN) for number in _OF_THE_GROUP}
    try:
        forkserver.ensure_running()
    finally:
        for number, handler in ignored.items():
            signal.signal(number, handler)


_OF_THE_GROUP = (signal.SIGHUP, signal.SIGTERM)


async def _end_of(process: BaseProcess) -> None:
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_reader(process.sentinel, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(process.sentinel)
    process.join()


@contextmanager
def metrics_directory() -> Iterator[Path]:
    """Give the workers a fresh directory for their metrics, through the environment.

    prometheus_client reads the variable when it is imported, for all workers once. The workers'
    sockets are there too: their paths are no longer than those that multiprocessing needs.
    """
    directory = Path(tempfile.mkdtemp(prefix="sidecar-"))
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(directory)
    try:
        yield directory
    finally:
        os.environ.pop("PROMETHEUS_MULTIPROC_DIR", None)
        shutil.rmtree(directory, ignore_errors=True)
