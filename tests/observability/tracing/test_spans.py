"""Spans: one for the request, one within it for the decision, one for what upstream was asked."""

import pytest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind
from opentelemetry.trace.status import StatusCode

from sidecar.core.decision import Deny, DenyReason, Grant
from sidecar.core.trace_context import TraceParent
from sidecar.observability.tracing.observer import Ended
from sidecar.observability.tracing.spans import SpanMaker
from tests.fakes.clock import FakeClock
from tests.observability.tracing.ended import ROBOT, ROUTE, SPAN, TRACE, UPSTREAM, ended, record

RESOURCE = Resource({"service.name": "sidecar"})
PARENT = TraceParent(TRACE, "4" * 16, is_sampled=True)


def spans_of(done: Ended, clock: FakeClock) -> list[ReadableSpan]:
    return SpanMaker(clock, RESOURCE, tells_callers=False).spans(done)


def seconds(span: ReadableSpan) -> float:
    assert span.start_time is not None
    assert span.end_time is not None
    return (span.end_time - span.start_time) / 1e9


def a_granted_request(clock: FakeClock) -> Ended:
    noted = record(clock, parent=PARENT, tracestate="a=1")
    clock.advance(1)
    noted.waited("keys", 0.5)
    noted.decided(Grant(ROUTE, ROBOT), 0.75)
    noted.asked("http://127.0.0.1:8009")
    clock.advance(1)
    noted.connected(("127.0.0.1", 8009), is_reused=False)
    clock.advance(1)
    noted.received(200)
    clock.advance(1)
    noted.upstream_ended()
    clock.advance(1)
    return ended(noted)


def test_they_are_within_one_another_as_the_ids_say() -> None:
    clock = FakeClock()
    server, decision, upstream = spans_of(a_granted_request(clock), clock)

    kinds = [span.kind for span in (server, decision, upstream)]
    assert kinds == [SpanKind.SERVER, SpanKind.INTERNAL, SpanKind.CLIENT]
    assert {f"{span.context.trace_id:032x}" for span in (server, decision, upstream)} == {TRACE}
    assert server.parent is not None
    assert server.parent.is_remote
    assert f"{server.parent.span_id:016x}" == PARENT.span_id
    assert f"{server.context.span_id:016x}" == SPAN
    assert f"{upstream.context.span_id:016x}" == UPSTREAM
    for child in (decision, upstream):
        assert child.parent is not None
        assert child.parent.span_id == server.context.span_id
    assert len({span.context.span_id for span in (server, decision, upstream)}) == 3
    assert server.context.trace_state.to_header() == "a=1"


def test_they_last_as_long_as_what_they_stand_for() -> None:
    clock = FakeClock()
    began = clock.now()
    server, decision, upstream = spans_of(a_granted_request(clock), clock)

    assert server.start_time == began * 1e9
    assert [seconds(span) for span in (server, decision, upstream)] == pytest.approx(
        [5.0, 0.75, 3.0], abs=1e-6
    )
    waits = [(event.name, dict(event.attributes or {})) for event in decision.events]
    assert waits == [("wait", {"for": "keys", "seconds": 0.5})]
    assert [event.name for event in upstream.events] == ["connected", "first_byte"]
    assert [(event.timestamp - server.start_time) / 1e9 for event in upstream.events] == [2, 3]
    assert list(server.events) == []


def test_a_refusal_asks_no_upstream() -> None:
    clock = FakeClock()
    noted = record(clock)
    noted.decided(Deny(DenyReason.NO_CREDENTIALS), 0.0)
    server, decision = spans_of(ended(noted, 401), clock)

    assert server.parent is None
    for span in (server, decision):
        assert span.attributes is not None
        assert span.attributes["sidecar.decision.reason"] == "no_credentials"
        assert span.status.status_code is StatusCode.UNSET


def test_who_goes_before_there_is_a_decision_leaves_what_was_waited_for() -> None:
    clock = FakeClock()
    noted = record(clock)
    noted.waited("account", 2.0)
    (server,) = spans_of(ended(noted, 499), clock)

    assert [event.name for event in server.events] == ["wait"]


def test_a_stranger_is_pointed_to() -> None:
    clock = FakeClock()
    (server,) = spans_of(ended(record(clock, link=PARENT)), clock)

    (link,) = server.links
    assert server.parent is None
    assert f"{link.context.span_id:016x}" == PARENT.span_id


def test_a_cut_is_an_event_and_a_failure_an_error() -> None:
    clock = FakeClock()
    noted = record(clock)
    noted.decided(Grant(ROUTE, ROBOT), 0.0)
    noted.asked("http://127.0.0.1:8009")
    noted.cut("revoked")
    noted.failed("reset")
    clock.advance(7)
    server, _, upstream = spans_of(ended(noted, 502), clock)

    assert [event.name for event in server.events] == ["cut"]
    for span in (server, upstream):
        assert span.status.status_code is StatusCode.ERROR
        assert span.attributes is not None
        assert span.attributes["error.type"] == "reset"
    assert seconds(upstream) == pytest.approx(7.0)
