"""What Prometheus scrapes. ``deploy/metrics.md`` says what each metric means; a test compares them.

Labels are closed sets: enum members, configured issuers, status classes. Nothing that a client
chooses is ever a label, so no client can grow the series. Children are bound once, since looking
one up costs more than counting.

What happens with every request is counted in ``tally``. A scrape takes 1.3 ms of the event loop.
"""

import os
import platform
from collections import Counter as Tally
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.metrics_core import Metric

from sidecar import __version__
from sidecar.core.build import BUILD
from sidecar.core.decision import Decision, DenyReason, Grant
from sidecar.core.request import AccessRequest
from sidecar.observability.change_counter import ChangeCounter
from sidecar.observability.connections import Connections
from sidecar.observability.exposition import render
from sidecar.observability.grpc_calls import GrpcCalls
from sidecar.observability.shadow import Shadow
from sidecar.observability.tally import CounterTally, HistogramTally
from sidecar.observability.view_metrics import ViewMetrics
from sidecar.ports import (
    AuditRecord,
    CutReason,
    FetchOutcome,
    StreamKind,
    UpstreamError,
)

disable_created_metrics()  # type: ignore[no-untyped-call]

# Seconds. A decision at hand takes tens of microseconds, one that waits for keys seconds.
_DECISION_BUCKETS = (
    5e-6, 1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 5e-3, 2.5e-2, 0.1, 0.5, 1.0, 5.0,
)  # fmt: skip
_REQUEST_BUCKETS = (
    5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 5e-2, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0,
)  # fmt: skip
_CODES, _CODE_CLASSES = range(100, 600), range(1, 6)


class Metrics:
    """Implements ``ports.Observer``, and a few gauges that the composition root feeds."""

    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry()
        self._tallies: list[CounterTally | HistogramTally] = []
        ProcessCollector(registry=registry)
        GCCollector(registry=registry)
        self._make_decision_metrics(registry)
        self._make_upstream_metrics(registry)
        self._make_key_metrics(registry)
        self._named: Tally[str] = Tally()
        self.changes = ChangeCounter(registry)
        view = ViewMetrics(registry)
        self.view_changed, self.view_proven = view.changed, view.proven
        self.view_state = view.state
        self.shadow = Shadow(registry)
        self.spared = self.shadow.spared
        self.call_ended = GrpcCalls(registry).call_ended
        connections = Connections(registry)
        self.connected, self.connection_refused = connections.connected, connections.refused
        self.read_too_slowly = connections.read_too_slowly
        build = Gauge(
            "sidecar_build_info", "Always 1; the labels say what runs.",
            ("version", "build", "python", "aiohttp"), registry=registry, multiprocess_mode="max",
        )  # fmt: skip
        labels = (__version__, BUILD, platform.python_version(), version("aiohttp"))
        build.labels(*labels).set(1)

    def decided(self, request: AccessRequest, decision: Decision, seconds: float) -> None:
        del request
        if isinstance(decision, Grant):
            self._granted.pending += 1
            if decision.shadowed is not None:
                self.shadow.denied(decision.shadowed)
        else:
            self._denied[decision.reason].pending += 1
        self._decision_seconds.observe(seconds)

    def answered(self, request: AccessRequest, status: int, seconds: float) -> None:
        del request
        code = self._requests.get(status)
        if code is None:
            code = self._tally_of(status)
        code.pending += 1
        self._request_seconds.get(status // 100, self._other_seconds).observe(seconds)

    def upstream_failed(self, request: AccessRequest, error: UpstreamError) -> None:
        del request
        self._upstream_errors[error].inc()

    def in_flight(self, kind: StreamKind, change: int) -> None:
        self._in_flight[kind].pending += change

    def cut(self, reason: CutReason, streams: int) -> None:
        self._cuts[reason].inc(streams)

    def keys_fetched(self, issuer: str, outcome: FetchOutcome, seconds: float) -> None:
        self._fetches.labels(issuer, outcome.value).inc()
        self._fetch_seconds.observe(seconds)

    def keys_loaded(self, issuer: str, keys: int, at: float) -> None:
        self._keys.labels(issuer).set(keys)
        if keys:
            self._keys_at.labels(issuer).set(at)

    @contextmanager
    def issuers(self, names: Collection[str]) -> Iterator[None]:
        """Have figures of these issuers' keys until the block ends.

        Then those are forgotten that no other set of settings names: keys that nobody renews any
        more would be told as ones that grow old.
        """
        self._named.update(names)
        try:
            yield
        finally:
            self._named.subtract(names)
            for name in names:
                # Where workers share files, a series goes with its worker, and cannot go before.
                if not self._named[name] and "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
                    self._keys.remove(name)
                    self._keys_at.remove(name)

    def audited(self, record: AuditRecord) -> None:
        self.changes.audited(record)

    def lines_dropped(self, lines: int) -> None:
        """Count lines that the decision log had to drop."""
        self._dropped.inc(lines)

    def flush_too(self, tally: HistogramTally) -> None:
        """Make visible at each ``flush`` what another one has counted, too."""
        self._tallies.append(tally)

    def flush(self) -> None:
        """Make what was counted so far visible, also to the parent that sums up the workers."""
        for tally in self._tallies:
            tally.flush()

    def families(self) -> Iterable[Metric]:
        """Return what this process has counted."""
        self.flush()
        return self.registry.collect()

    def render(self, accept: str) -> tuple[bytes, str]:
        """Return the exposition of this process in the format that ``accept`` asks for."""
        self.flush()
        return render(self.registry, accept)

    def _tally_of(self, status: int) -> CounterTally:
        label = str(status) if status in _CODES else "other"
        number = status if label != "other" else 0
        if number not in self._requests:
            self._requests[number] = self._counted(self._by_code.labels(label))
        return self._requests[number]

    def _counted(self, metric: Counter | Gauge) -> CounterTally:
        tally = CounterTally(metric)
        self._tallies.append(tally)
        return tally

    def _observed(self, histogram: Histogram, bounds: Sequence[float]) -> HistogramTally:
        tally = HistogramTally(histogram, bounds)
        self._tallies.append(tally)
        return tally

    def _make_decision_metrics(self, registry: CollectorRegistry) -> None:
        decisions = Counter(
            "sidecar_decisions", "Decisions, by outcome and reason.", ("outcome", "reason"),
            registry=registry,
        )  # fmt: skip
        self._granted = self._counted(decisions.labels("granted", ""))
        self._denied = {
            reason: self._counted(decisions.labels("denied", reason.value)) for reason in DenyReason
        }
        seconds = Histogram(
            "sidecar_decision_seconds", "Time of a decision alone.",
            buckets=_DECISION_BUCKETS, registry=registry,
        )  # fmt: skip
        self._decision_seconds = self._observed(seconds, _DECISION_BUCKETS)
        self._dropped = Counter(
            "sidecar_decision_log_dropped", "Lines that the decision log dropped: nobody read it.",
            registry=registry,
        )  # fmt: skip

    def _make_upstream_metrics(self, registry: CollectorRegistry) -> None:
        self._by_code = Counter(
            "sidecar_requests", "Requests answered, by HTTP status; 499: the client had gone.",
            ("code",), registry=registry,
        )  # fmt: skip
        self._requests: dict[int, CounterTally] = {}
        seconds = Histogram(
            "sidecar_request_seconds", "Time of a whole request, upstream included.",
            ("code_class",), buckets=_REQUEST_BUCKETS, registry=registry,
        )  # fmt: skip
        self._request_seconds = {
            each: self._observed(seconds.labels(f"{each}xx"), _REQUEST_BUCKETS)
            for each in _CODE_CLASSES
        }
        self._other_seconds = self._observed(seconds.labels("other"), _REQUEST_BUCKETS)
        errors = Counter(
            "sidecar_upstream_errors", "Upstream failures.", ("error",), registry=registry
        )
        self._upstream_errors = {error: errors.labels(error.value) for error in UpstreamError}
        in_flight = Gauge(
            "sidecar_in_flight", "Granted requests under way.", ("kind",),
            registry=registry, multiprocess_mode="livesum",
        )  # fmt: skip
        self._in_flight = {kind: self._counted(in_flight.labels(kind.value)) for kind in StreamKind}
        cuts = Counter(
            "sidecar_stream_cuts", "Requests under way that were cut.", ("reason",),
            registry=registry,
        )  # fmt: skip
        self._cuts = {reason: cuts.labels(reason.value) for reason in CutReason}

    def _make_key_metrics(self, registry: CollectorRegistry) -> None:
        self._fetches = Counter(
            "sidecar_jwks_fetches", "Key fetches.", ("issuer", "outcome"), registry=registry
        )
        self._fetch_seconds = Histogram(
            "sidecar_jwks_fetch_seconds", "Time of a key fetch.", registry=registry
        )
        self._keys = Gauge(
            "sidecar_jwks_keys", "Usable keys.", ("issuer",),
            registry=registry, multiprocess_mode="livemin",
        )  # fmt: skip
        self._keys_at = Gauge(
            "sidecar_jwks_loaded_timestamp_seconds", "When the keys in force were fetched.",
            ("issuer",), registry=registry, multiprocess_mode="livemin",
        )  # fmt: skip
