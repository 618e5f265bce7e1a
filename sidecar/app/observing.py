"""Who watches: the metrics and the decision log, joined into one observer."""

import multiprocessing
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

from sidecar.admin.desk import OwnDesk
from sidecar.observability.decision_log import DecisionLog, LineWriter, Logged
from sidecar.observability.introspection_metrics import IntrospectionMetrics
from sidecar.observability.last_use_writer import LastUseMetrics
from sidecar.observability.loop_watch import LoopWatch
from sidecar.observability.metrics import Metrics
from sidecar.observability.observers import Observers
from sidecar.observability.recent_decisions import RecentDecisions
from sidecar.observability.recent_use import RecentUse
from sidecar.observability.sync_metrics import SyncMetrics
from sidecar.observability.trace_metrics import TraceMetrics
from sidecar.observability.tracing.observer import SpanObserver
from sidecar.observability.upstream_metrics import UpstreamMetrics
from sidecar.ports import Clock, Observer
from sidecar.settings import Settings
from sidecar.streams import Streams


@dataclass(frozen=True, slots=True)
class Observing:
    """The joined observer, the metrics to feed and to show, and what the admin API looks at.

    ``recent_use`` is a part of the observer, where it is to be recorded which accounts are used; so
    is ``spans`` where requests are traced.
    """

    observer: Observer
    metrics: Metrics
    sync: SyncMetrics
    desk: OwnDesk
    last_use_metrics: LastUseMetrics
    introspection: IntrospectionMetrics
    loop_watch: LoopWatch
    upstream: UpstreamMetrics
    traces: TraceMetrics
    recent_use: RecentUse | None = None
    spans: SpanObserver | None = None

    def streams(self, clock: Clock) -> AbstractContextManager[Streams]:
        """Give a book of streams, into which the admin API looks while the block lasts."""
        return self.desk.entered(Streams(self.observer, clock.now))


@contextmanager
def observing(clock: Clock) -> Iterator[Callable[[Settings], Observing]]:
    """Watch until the block ends; the decision log goes to stdout and is flushed then.

    The running event loop is watched as well. Gives what makes an observer from settings: metrics
    and log are the same for all of them.
    """
    metrics = Metrics()
    desk = OwnDesk(RecentDecisions(clock), os.getpid())
    last_use_metrics = LastUseMetrics(metrics.registry)
    sync = SyncMetrics(metrics.registry)
    introspection = IntrospectionMetrics(metrics.registry)
    watch = LoopWatch(metrics.registry, clock)
    upstream = UpstreamMetrics(metrics.registry)
    traces = TraceMetrics(metrics.registry)
    metrics.flush_too(watch.lag)
    is_worker = multiprocessing.parent_process() is not None
    lines = LineWriter(sys.stdout, metrics.lines_dropped, is_shared=is_worker)
    with lines as writer, watch.running():

        def observed(settings: Settings) -> Observing:
            decisions = DecisionLog(writer, Logged(settings.log.decisions), clock)
            accounts = settings.accounts
            recent = RecentUse(clock, accounts.max_subjects) if accounts.last_use else None
            heard: list[Observer] = [metrics, decisions]
            heard += [] if recent is None else [recent]
            heard += [desk.recent] if settings.admin.has_api else []
            spans = SpanObserver() if settings.tracing is not None else None
            heard += [] if spans is None else [spans]
            return Observing(
                Observers(*heard), metrics, sync, desk, last_use_metrics, introspection, watch,
                upstream, traces, recent, spans,
            )  # fmt: skip

        try:
            yield observed
        finally:
            metrics.flush()
