"""Who watches: the metrics and the decision log, joined into one observer."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sidecar.observability.decision_log import DecisionLog, LineWriter, Logged
from sidecar.observability.metrics import Metrics
from sidecar.observability.observers import Observers
from sidecar.observability.sync_metrics import SyncMetrics
from sidecar.ports import Clock, Observer
from sidecar.settings import Settings


@dataclass(frozen=True, slots=True)
class Observing:
    """The joined observer, and the metrics to feed and to show."""

    observer: Observer
    metrics: Metrics
    sync: SyncMetrics


@contextmanager
def observing(clock: Clock) -> Iterator[Callable[[Settings], Observing]]:
    """Watch until the block ends; the decision log goes to stdout and is flushed then.

    Gives what makes an observer from settings: metrics and log are the same for all of them.
    """
    metrics = Metrics()
    sync = SyncMetrics(metrics.registry)
    with LineWriter(sys.stdout, metrics.lines_dropped) as writer:

        def observed(settings: Settings) -> Observing:
            decisions = DecisionLog(writer, Logged(settings.log.decisions), clock)
            return Observing(Observers(metrics, decisions), metrics, sync)

        try:
            yield observed
        finally:
            metrics.flush()
