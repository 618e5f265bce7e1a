"""What became of spans, for metrics. Needs no tracing library."""

from enum import StrEnum, unique

from prometheus_client import CollectorRegistry, Counter


@unique
class Drop(StrEnum):
    """Why spans were not exported; the value is a metric label."""

    QUEUE = "queue"
    EXPORT = "export"
    SHUTDOWN = "shutdown"


class TraceMetrics:
    """Counts spans, and requests that were to be sampled and were too many. From any thread."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._exported = Counter(
            "sidecar_spans_exported", "Spans that the collector took.", registry=registry
        )
        dropped = Counter(
            "sidecar_spans_dropped", "Spans that were lost.", ("reason",), registry=registry
        )
        self._dropped = {reason: dropped.labels(reason.value) for reason in Drop}
        self._limited = Counter(
            "sidecar_traces_limited", "Requests that were not sampled: there were too many.",
            registry=registry,
        )  # fmt: skip

    def exported(self, spans: int) -> None:
        """Count spans that the collector took."""
        self._exported.inc(spans)

    def dropped(self, reason: Drop, spans: int) -> None:
        """Count spans that were lost."""
        self._dropped[reason].inc(spans)

    def limited(self) -> None:
        """Count a request that was to be sampled, past what a second may have."""
        self._limited.inc()
