"""Metrics of keeping accounts in step with the gateway's. Only the process that leads counts."""

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge

from sidecar.account_sync import SyncFailure
from sidecar.core.account_plan import Kind, Step


class SyncMetrics:
    """Counts into ``registry``."""

    def __init__(self, registry: CollectorRegistry) -> None:
        # Of all processes' the latest: the one that led may have ended since.
        self._synced_at = Gauge(
            "sidecar_sync_last_success_timestamp_seconds",
            "When all accounts were last in step; 0: not yet.",
            registry=registry,
            multiprocess_mode="max",
        )
        changes = Counter(
            "sidecar_sync_changes", "Accounts that a sync changed.", ("kind",), registry=registry
        )
        # A sync never deletes.
        self._changes: dict[Kind, Counter] = {
            kind: changes.labels(kind.value) for kind in Kind if kind is not Kind.DELETE
        }
        failures = Counter(
            "sidecar_sync_failures", "Syncs, or parts of one, that failed.", ("reason",),
            registry=registry,
        )  # fmt: skip
        self._failures = {reason: failures.labels(reason.value) for reason in SyncFailure}

    def synced(self, at: float) -> None:
        """Note that everything is in step, as of ``at`` (epoch seconds)."""
        self._synced_at.set(at)

    def changed(self, steps: Iterable[Step]) -> None:
        """Count what was changed."""
        for step in steps:
            self._changes[step.kind].inc()

    def failed(self, reason: SyncFailure, count: int = 1) -> None:
        """Count what failed: once for a whole sync, else for each account."""
        self._failures[reason].inc(count)
