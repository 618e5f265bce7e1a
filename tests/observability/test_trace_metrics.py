from prometheus_client import CollectorRegistry

from sidecar.observability.trace_metrics import Drop, TraceMetrics


def test_what_becomes_of_spans_is_counted_by_reason() -> None:
    registry = CollectorRegistry()
    metrics = TraceMetrics(registry)
    metrics.exported(3)
    metrics.dropped(Drop.QUEUE, 2)
    metrics.limited()

    value = registry.get_sample_value
    assert value("sidecar_spans_exported_total") == 3
    assert value("sidecar_spans_dropped_total", {"reason": "queue"}) == 2
    assert value("sidecar_spans_dropped_total", {"reason": "export"}) == 0
    assert value("sidecar_traces_limited_total") == 1
