"""What was counted, written down: of one process, or summed over the workers."""

from collections.abc import Iterable
from itertools import chain
from pathlib import Path

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample
from typing_extensions import override

from sidecar.observability.change_counter import ChangeCounter


def render_all(directory: Path, own: ChangeCounter, accept: str) -> tuple[bytes, str]:
    """Return the exposition summed over all workers that write to ``directory`` and our ``own``."""
    registry = CollectorRegistry()
    registry.register(_sum(directory, own))
    return render(registry, accept)


def families_of_all(directory: Path, own: ChangeCounter) -> Iterable[Metric]:
    """Return what ``render_all`` writes, unwritten."""
    return _sum(directory, own).collect()


def _sum(directory: Path, own: ChangeCounter) -> Collector:
    return _Sum(MultiProcessCollector(None, str(directory)), own.registry)  # type: ignore[no-untyped-call]


class _Sum(Collector):
    """The sum of the families that several have, and the others as they are."""

    def __init__(self, *parts: Collector) -> None:
        self._parts = parts

    @override
    def collect(self) -> Iterable[Metric]:
        families: dict[str, Metric] = {}
        for family in chain.from_iterable(part.collect() for part in self._parts):
            known = families.setdefault(family.name, family)
            if known is not family:
                known.samples = _added(known.samples + family.samples)
        return families.values()


def _added(samples: Iterable[Sample]) -> list[Sample]:
    sums: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}
    for sample in samples:
        key = (sample.name, tuple(sorted(sample.labels.items())))
        sums[key] = sums.get(key, 0.0) + sample.value
    return [Sample(name, dict(labels), value) for (name, labels), value in sums.items()]


def forget_worker(pid: int) -> None:
    """Drop the gauges of a worker that has ended; its counters stay."""
    mark_process_dead(pid)  # type: ignore[no-untyped-call]


def render(registry: CollectorRegistry, accept: str) -> tuple[bytes, str]:
    """Return the exposition in the format that ``accept`` asks for, and its media type."""
    encode, content_type = choose_encoder(accept)
    return encode(registry), content_type
