"""What each worker does, for people who watch: ``/workers`` of the admin listener."""

import dataclasses
import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path

from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector
from pydantic import TypeAdapter
from pydantic.dataclasses import dataclass

from sidecar.observability.change_counter import ChangeCounter
from sidecar.observability.exposition import families_of_all
from sidecar.observability.metrics import Metrics
from sidecar.observability.scraped import Reading, read_families


@dataclass(frozen=True, slots=True)
class Worker:
    """One process. Counters are totals since it started; times are epoch seconds, 0 for never.

    ``keys_loaded_at`` is of the issuer whose keys are oldest.
    """

    pid: int
    decisions: float
    cuts: float
    is_live: bool
    proven_at: float
    keys_loaded_at: float


@dataclasses.dataclass(frozen=True, slots=True)
class Figures:
    """What all workers together say, and each of them, whenever it is asked for."""

    reading: Callable[[], Reading]
    workers: Callable[[], Sequence[Worker]]


_WORKERS = TypeAdapter(tuple[Worker, ...])


def this_worker(metrics: Metrics) -> bytes:
    """Return the JSON of the only worker there is."""
    return _WORKERS.dump_json(_this(metrics))


def all_workers(directory: Path) -> bytes:
    """Return the JSON of the workers that run and write their metrics to ``directory``."""
    return _WORKERS.dump_json(_all(directory))


def own_figures(metrics: Metrics) -> Figures:
    """Return the figures of the only worker there is."""
    return Figures(lambda: read_families(metrics.families()), partial(_this, metrics))


def figures_of_all(directory: Path, own: ChangeCounter) -> Figures:
    """Return the figures of the workers that write to ``directory``, and our ``own``."""
    return Figures(lambda: read_families(families_of_all(directory, own)), partial(_all, directory))


def _this(metrics: Metrics) -> tuple[Worker, ...]:
    return (_worker(os.getpid(), metrics.families()),)


def _all(directory: Path) -> tuple[Worker, ...]:
    files = defaultdict(list)
    for file in directory.glob("*.db"):
        files[int(file.stem.rpartition("_")[2])].append(str(file))
    # A worker that has ended leaves its counters to the sum, and nothing that is of now.
    living = sorted(pid for pid in files if (directory / f"gauge_livemin_{pid}.db").exists())
    return tuple(_worker(pid, MultiProcessCollector.merge(files[pid])) for pid in living)  # type: ignore[no-untyped-call]


def read_workers(text: str) -> Sequence[Worker]:
    """Read that JSON.

    Raises:
        ValueError: it is something else.
    """
    return _WORKERS.validate_json(text)


def _worker(pid: int, families: Iterable[Metric]) -> Worker:
    reading = read_families(families)
    return Worker(
        pid,
        decisions=sum(reading.decisions.values()),
        cuts=sum(reading.cuts.values()),
        is_live=reading.is_live,
        proven_at=reading.proven_at,
        keys_loaded_at=min((keys.loaded_at for keys in reading.keys.values()), default=0.0),
    )
