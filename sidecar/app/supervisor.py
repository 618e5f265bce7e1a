"""Several workers: processes that share the port (SO_REUSEPORT), watched by one parent.

The parent answers the admin listener for all of them: metrics are summed over the workers' files
(prometheus_client's multiprocess mode), readiness is that of every worker. A worker that ends by
itself is replaced; a parent that is told to end ends them all.
"""

import asyncio
import logging
import multiprocessing
import os
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from sidecar.ports import Clock

log = logging.getLogger(__name__)

_SPAWN = multiprocessing.get_context("spawn")
_READY_FOR_SECONDS = 2.0
_RESPAWN_SECONDS = (0.1, 5.0)


class Readiness:
    """One slot a worker, in shared memory, with the steady time at which it last was ready.

    A worker that hangs stops writing, and so ceases to be ready without anybody's saying so.
    """

    def __init__(self, workers: int) -> None:
        self._slots = _SPAWN.Array("d", workers, lock=False)

    def report(self, worker: int, clock: Clock, *, ready: bool) -> None:
        """Say how this worker is; called by the worker about twice a second."""
        self._slots[worker] = clock.steady() if ready else 0.0

    def probes(self, clock: Clock) -> Mapping[str, bool]:
        """Return which workers are ready."""
        now = clock.steady()
        return {
            f"worker {number}": now - reported < _READY_FOR_SECONDS
            for number, reported in enumerate(self._slots)
        }


Work = Callable[[Any, int, Readiness], None]


@dataclass(slots=True)
class _Worker:
    number: int
    process: BaseProcess | None = None
    failures: int = 0
    is_stopping: bool = field(default=False)


class Supervisor:
    """Keeps ``count`` processes running ``work(argument, number, readiness)``."""

    def __init__(
        self,
        work: Work,
        argument: object,
        count: int,
        clock: Clock,
        forget: Callable[[int], None],
    ) -> None:
        self._work = work
        self._argument = argument
        self._clock = clock
        self._forget = forget
        self._workers = [_Worker(number) for number in range(count)]
        self.readiness = Readiness(count)

    async def run(self, stop: asyncio.Event, grace_seconds: float) -> None:
        """Keep the workers running until ``stop``; then end them, with ``grace_seconds`` to go."""
        async with asyncio.TaskGroup() as tasks:
            keepers = [tasks.create_task(self._keep(worker)) for worker in self._workers]
            await stop.wait()
            for worker in self._workers:
                worker.is_stopping = True
                if worker.process is not None:
                    worker.process.terminate()
            _, late = await asyncio.wait(keepers, timeout=grace_seconds)
            for worker in self._workers:
                if late and worker.process is not None:
                    log.warning("worker %d did not end in time and is killed", worker.number)
                    worker.process.kill()

    async def _keep(self, worker: _Worker) -> None:
        while not worker.is_stopping:
            began = self._clock.steady()
            process = _SPAWN.Process(
                target=self._work,
                args=(self._argument, worker.number, self.readiness),
                name=f"sidecar-worker-{worker.number}",
            )
            process.start()
            worker.process = process
            await _ended(process)
            worker.process = None
            self.readiness.report(worker.number, self._clock, ready=False)
            if process.pid is not None:
                self._forget(process.pid)
            if worker.is_stopping:
                return
            shortest, longest = _RESPAWN_SECONDS
            lived_long = self._clock.steady() - began > longest
            worker.failures = 0 if lived_long else worker.failures + 1
            delay = min(longest, shortest * 2 ** min(worker.failures, 10))
            log.error(
                "worker %d ended with %s; a new one starts in %.1f s",
                worker.number,
                process.exitcode,
                delay,
            )
            await asyncio.sleep(delay)


async def _ended(process: BaseProcess) -> None:
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_reader(process.sentinel, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(process.sentinel)
    process.join()


@contextmanager
def reserved_port(host: str, port: int) -> Iterator[int]:
    """Hold ``port`` (0: one that the system chooses) for the workers without listening on it.

    Raises:
        OSError: somebody has it already. Shared, it would split the requests between the two.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((host, port))
    with socket.socket(family, socket.SOCK_STREAM) as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        holder.bind((host, port))
        yield int(holder.getsockname()[1])


@contextmanager
def metrics_directory() -> Iterator[Path]:
    """Give the workers a fresh directory for their metrics, through the environment.

    prometheus_client reads the variable when it is imported, in each worker anew.
    """
    directory = Path(tempfile.mkdtemp(prefix="sidecar-metrics-"))
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(directory)
    try:
        yield directory
    finally:
        os.environ.pop("PROMETHEUS_MULTIPROC_DIR", None)
        shutil.rmtree(directory, ignore_errors=True)
