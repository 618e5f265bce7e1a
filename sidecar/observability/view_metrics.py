"""The account view, for Prometheus. ``deploy/metrics.md`` says what each metric means."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from sidecar.ports import ViewEvent

# Seconds: a network's round trip and the loop's turns, up to where the connection is given up.
_BUCKETS = (2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 5e-2, 0.1, 0.25, 0.5, 1.0)


class ViewMetrics:
    """How fresh the account view is, and how fast a change is heard."""

    def __init__(self, registry: CollectorRegistry) -> None:
        events = Counter(
            "sidecar_account_view_events", "What happened to the account view.", ("event",),
            registry=registry,
        )  # fmt: skip
        self._events = {event: events.labels(event.value) for event in ViewEvent}
        self._answers = Histogram(
            "sidecar_account_view_heartbeat_seconds",
            "Time of a heartbeat; a change of an account is heard about as fast.",
            buckets=_BUCKETS, registry=registry,
        )  # fmt: skip
        self._live = Gauge(
            "sidecar_account_view_live", "1 while the account view is within its lease.",
            registry=registry, multiprocess_mode="livemin",
        )  # fmt: skip
        self._proven = Gauge(
            "sidecar_account_view_proven_timestamp_seconds",
            "Up to when the account view is proven to be complete.",
            registry=registry, multiprocess_mode="livemin",
        )  # fmt: skip

    def changed(self, event: ViewEvent) -> None:
        """Count what happened to it."""
        self._events[event].inc()

    def proven(self, seconds: float) -> None:
        """Count a heartbeat that was answered after so long."""
        self._answers.observe(seconds)

    def state(self, *, live: bool, proven_at: float | None) -> None:
        """Set how fresh the account view is; ``proven_at`` is in epoch seconds."""
        self._live.set(live)
        if proven_at is not None:
            self._proven.set(proven_at)
