"""Spans on their way: never in the way of requests, and what is lost is counted."""

import logging
import threading
from collections.abc import Sequence

import pytest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanContext, TraceFlags
from prometheus_client import CollectorRegistry
from typing_extensions import override

from sidecar.observability.trace_metrics import TraceMetrics
from sidecar.observability.tracing.exporting import ExportPolicy, SpanQueue, exporting
from tests.fakes.clock import FakeClock
from tests.fakes.waiting import until

RESOURCE = Resource({})


class Exporter(SpanExporter):
    """Does with each batch what the test says; stands still while ``holds``."""

    def __init__(self, *outcomes: SpanExportResult | Exception) -> None:
        self.outcomes = list(outcomes)
        self.batches: list[int] = []
        self.goes_on = threading.Event()
        self.goes_on.set()
        self.is_shut_down = False

    @override
    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.batches.append(len(spans))
        self.goes_on.wait(10)
        outcome = self.outcomes.pop(0) if self.outcomes else SpanExportResult.SUCCESS
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    @override
    def shutdown(self) -> None:
        self.is_shut_down = True


class Counted:
    """The metrics, to be looked at."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.metrics = TraceMetrics(self.registry)

    @property
    def exported(self) -> float:
        return self.registry.get_sample_value("sidecar_spans_exported_total") or 0

    def dropped(self, reason: str) -> float:
        labels = {"reason": reason}
        return self.registry.get_sample_value("sidecar_spans_dropped_total", labels) or 0


def spans(number: int) -> list[ReadableSpan]:
    context = SpanContext(1, 2, is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))
    return [ReadableSpan("x", context, resource=RESOURCE) for _ in range(number)]


def opened(
    exporter: SpanExporter, counted: Counted, *, queue: int = 1000, flush_seconds: float = 10.0
) -> "tuple[SpanQueue, ExportPolicy]":
    policy = ExportPolicy("http://127.0.0.1:1/", queue=queue, flush_seconds=flush_seconds)
    return SpanQueue(exporter, counted.metrics, FakeClock().steady, queue=queue), policy


async def test_what_waits_at_the_end_is_exported() -> None:
    exporter, counted = InMemorySpanExporter(), Counted()
    policy = ExportPolicy("http://127.0.0.1:1/")
    async with exporting(exporter, counted.metrics, FakeClock().steady, policy) as queue:
        queue.give(spans(3))

    assert len(exporter.get_finished_spans()) == counted.exported == 3


async def test_of_what_finds_no_room_all_spans_of_a_request_are_dropped() -> None:
    exporter, counted = Exporter(), Counted()
    exporter.goes_on.clear()
    queue, policy = opened(exporter, counted, queue=8)
    for _ in range(5):
        queue.give(spans(3))
    assert counted.dropped("queue") == 9
    exporter.goes_on.set()
    await queue.end(policy.flush_seconds)

    assert counted.exported == 6


@pytest.mark.parametrize("outcome", [SpanExportResult.FAILURE, OSError("no such host")])
async def test_what_the_collector_does_not_take_is_counted_and_said_once(
    outcome: SpanExportResult | Exception, caplog: pytest.LogCaptureFixture
) -> None:
    exporter, counted = Exporter(outcome, outcome), Counted()
    queue, policy = opened(exporter, counted)
    queue.give(spans(300))  # more than two batches
    await queue.end(policy.flush_seconds)

    assert sum(exporter.batches) == 300
    assert counted.dropped("export") == 256
    assert counted.exported == 44
    warnings = [each for each in caplog.records if each.levelno == logging.WARNING]
    assert [each.name for each in warnings] == ["sidecar.observability.tracing.exporting"]


async def test_a_collector_that_hangs_does_not_hold_up_the_end() -> None:
    exporter, counted = Exporter(), Counted()
    exporter.goes_on.clear()
    queue, _ = opened(exporter, counted)
    queue.give(spans(200))
    await until(lambda: exporter.batches == [128])
    await queue.end(0.01)
    assert counted.dropped("shutdown") == 200
    assert exporter.is_shut_down
    exporter.goes_on.set()
    await until(lambda: all(each.name != "spans-end" for each in threading.enumerate()))

    assert (counted.exported, counted.dropped("export")) == (0, 0)


async def test_giving_never_waits_for_the_collector() -> None:
    exporter, counted = Exporter(), Counted()
    exporter.goes_on.clear()
    queue, policy = opened(exporter, counted, queue=300)
    for _ in range(1000):
        queue.give(spans(1))
    exporter.goes_on.set()
    await queue.end(policy.flush_seconds)

    assert counted.exported + counted.dropped("queue") == 1000
