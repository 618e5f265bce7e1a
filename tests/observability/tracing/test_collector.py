"""From a request that has ended to the collector, with the real exporter."""

import pytest
from prometheus_client import CollectorRegistry

from sidecar.adapters.clock import SystemClock
from sidecar.observability.trace_metrics import TraceMetrics
from sidecar.observability.tracing.collector import Service, collecting
from sidecar.observability.tracing.exporting import ExportPolicy
from tests.fakes.collector import running_collector
from tests.observability.tracing.ended import SPAN, TRACE, ended, record


async def test_a_request_comes_to_the_collector_with_our_headers_and_our_name() -> None:
    registry = CollectorRegistry()
    service = Service("gate", {"deployment.environment.name": "test", "service.name": "other"})
    async with running_collector() as collector:
        policy = ExportPolicy(collector.url, {"Authorization": "Bearer s3cret"})
        async with collecting(policy, service, TraceMetrics(registry), SystemClock()) as give:
            give(ended(record()))

        (span,) = collector.spans
        assert (span.trace_id, span.span_id, span.kind) == (TRACE, SPAN, "server")
        assert span.resource["service.name"] == "gate"
        assert span.resource["deployment.environment.name"] == "test"
        assert collector.headers[0]["Authorization"] == "Bearer s3cret"
    assert registry.get_sample_value("sidecar_spans_exported_total") == 1


@pytest.mark.parametrize("status", [400, 307])
async def test_what_the_collector_refuses_is_lost_and_goes_nowhere_else(status: int) -> None:
    registry = CollectorRegistry()
    async with running_collector() as collector:
        collector.status = status
        policy = ExportPolicy(collector.url)
        async with collecting(policy, Service(), TraceMetrics(registry), SystemClock()) as give:
            give(ended(record()))

        assert len(collector.headers) == 1
    dropped = registry.get_sample_value("sidecar_spans_dropped_total", {"reason": "export"})
    assert dropped == 1
