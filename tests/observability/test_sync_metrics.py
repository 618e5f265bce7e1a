"""What a sync did, in figures."""

from prometheus_client import CollectorRegistry, generate_latest

from sidecar.account_sync import SyncFailure
from sidecar.core.account_plan import Kind, Step
from sidecar.core.subject import AccountStatus
from sidecar.observability.sync_metrics import SyncMetrics


def step(kind: Kind) -> Step:
    return Step(kind, "a", None, "", (), AccountStatus.ACTIVE)


def test_changes_failures_and_the_last_success_are_counted() -> None:
    registry = CollectorRegistry()
    metrics = SyncMetrics(registry)
    metrics.changed([step(Kind.ADD), step(Kind.ADD), step(Kind.DISABLE)])
    metrics.failed(SyncFailure.TIMEOUT)
    metrics.failed(SyncFailure.UNHOLDABLE, 3)
    metrics.synced(1700000000.0)

    text = generate_latest(registry).decode()
    assert 'sidecar_sync_changes_total{kind="add"} 2.0' in text
    assert 'sidecar_sync_changes_total{kind="disable"} 1.0' in text
    assert 'sidecar_sync_failures_total{reason="timeout"} 1.0' in text
    assert 'sidecar_sync_failures_total{reason="unholdable"} 3.0' in text
    assert "sidecar_sync_last_success_timestamp_seconds 1.7e+09" in text


def test_what_can_fail_is_there_from_the_start_as_zero() -> None:
    """A rise from nothing is none that an alert can see."""
    registry = CollectorRegistry()
    SyncMetrics(registry)

    text = generate_latest(registry).decode()
    assert text.count("sidecar_sync_failures_total{") == len(SyncFailure)
    assert text.count("sidecar_sync_changes_total{") == len(Kind) - 1
