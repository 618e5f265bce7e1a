"""Who watches: the metrics and the decision log, joined into one observer."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sidecar.observability.decision_log import DecisionLog, LineWriter, Logged
from sidecar.observability.last_use_writer import LastUseMetrics
from sidecar.observability.metrics import Metrics
from sidecar.observability.observers import Observers
from sidecar.observability.recent_use import RecentUse
from sidecar.observability.sync_metrics import SyncMetrics
from sidecar.ports import Clock, Observer
from sidecar.settings import Settings


@dataclass(frozen=True, slots=True)
class Observing:
    """The joined observer, and the metrics to feed and to show.

    ``recent_use`` is a part of the observer, where it is to be recorded which accounts are used.
    """

    observer: Observer
    metrics: Metrics
    sync: SyncMetrics
    last_use_metrics: LastUseMetrics
    recent_use: RecentUse | None = None


@contextmanager
def observing(clock: Clock) -> Iterator[Callable[[Settings], Observing]]:
    """Watch until the block ends; the decision log goes to stdout and is flushed then.

    Gives what makes an observer from settings: metrics and log are the same for all of them.
    """
    metrics = Metrics()
    last_use_metrics = LastUseMetrics(metrics.registry)
    sync = SyncMetrics(metrics.registry)
    with LineWriter(sys.stdout, metrics.lines_dropped) as writer:

        def observed(settings: Settings) -> Observing:
            decisions = DecisionLog(writer, Logged(settings.log.decisions), clock)
            accounts = settings.accounts
            recent = RecentUse(clock, accounts.max_subjects) if accounts.last_use else None
            heard = (metrics, decisions) if recent is None else (metrics, decisions, recent)
            return Observing(Observers(*heard), metrics, sync, last_use_metrics, recent)

        try:
            yield observed
        finally:
            metrics.flush()
