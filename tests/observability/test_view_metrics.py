"""How fresh the account view is, and how fast it hears, as Prometheus sees it."""

from prometheus_client import CollectorRegistry

from sidecar.observability.view_metrics import ViewMetrics
from sidecar.ports import ViewEvent


def test_a_heartbeat_is_counted_with_its_time_and_what_happens_by_its_name() -> None:
    registry = CollectorRegistry()
    view = ViewMetrics(registry)
    view.proven(0.003)
    view.proven(0.8)
    view.changed(ViewEvent.LOST)

    def value(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(f"sidecar_account_view_{name}", labels)

    assert value("heartbeat_seconds_count") == 2
    assert value("heartbeat_seconds_bucket", le="0.0025") == 0
    assert value("heartbeat_seconds_bucket", le="0.005") == 1
    assert value("heartbeat_seconds_bucket", le="1.0") == 2
    assert value("events_total", event="lost") == 1
