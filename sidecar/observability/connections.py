"""Clients' connections, for Prometheus. ``deploy/metrics.md`` says what each metric means."""

from prometheus_client import CollectorRegistry, Counter, Gauge

from sidecar.core.connections import ConnectionRefusal


class Connections:
    """Counts the connections that are open, those turned away, and those reset."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._open = Gauge(
            "sidecar_connections", "Connections of clients that are open.",
            registry=registry, multiprocess_mode="livesum",
        )  # fmt: skip
        refused = Counter(
            "sidecar_connections_refused", "Connections that were not accepted.", ("reason",),
            registry=registry,
        )  # fmt: skip
        self._slow_readers = Counter(
            "sidecar_slow_readers", "Connections that were reset: their clients read too slowly.",
            registry=registry,
        )  # fmt: skip
        self._refused = {reason: refused.labels(reason.value) for reason in ConnectionRefusal}

    def connected(self, change: int) -> None:
        """Count a connection that was accepted (1) or has ended (-1)."""
        self._open.inc(change)

    def refused(self, reason: ConnectionRefusal) -> None:
        """Count one that was turned away."""
        self._refused[reason].inc()

    def read_too_slowly(self) -> None:
        """Count one that was reset because its client read too slowly."""
        self._slow_readers.inc()
