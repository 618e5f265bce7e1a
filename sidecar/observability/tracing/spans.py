"""Spans, by OpenTelemetry's semantic conventions (HTTP: stable; RPC: release candidate).

They are made when a request has ended, out of what was noted of it: one of the kind SERVER, within
it the decision and, where upstream was asked, one of the kind CLIENT, which upstream knows as its
parent. Never a token, never a query.
"""

from collections.abc import Sequence

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event as SpanEvent
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, TraceFlags, TraceState
from opentelemetry.trace.status import Status, StatusCode

from sidecar import __version__
from sidecar.core.trace import Event, Record
from sidecar.core.trace_context import TraceParent
from sidecar.observability.tracing.attributes import (
    Attributes,
    error_of_server,
    error_of_upstream,
    outcome_attributes,
    server_attributes,
    server_name,
    upstream_attributes,
    upstream_name,
)
from sidecar.observability.tracing.observer import Ended
from sidecar.ports import Clock

_SCOPE = InstrumentationScope("sidecar", __version__)
_SAMPLED = TraceFlags(TraceFlags.SAMPLED)
_UNSET = Status(StatusCode.UNSET)


class SpanMaker:
    """Makes spans of requests that have ended.

    ``tells_callers`` adds who was calling: subject, client and the client's address.
    """

    def __init__(self, clock: Clock, resource: Resource, *, tells_callers: bool) -> None:
        self._clock = clock
        self._resource = resource
        self._tells_callers = tells_callers

    def spans(self, ended: Ended) -> list[ReadableSpan]:
        """Return the spans of one request."""
        record, end = ended.record, self._clock.steady()
        # Steady moments in epoch nanoseconds, by where the wall clock stands now.
        offset = self._clock.now() - end
        context = _context(record, record.span_id)
        parent = None if record.parent is None else _remote(record.parent, record.tracestate)
        server = self._span(
            server_name(ended), context, parent, SpanKind.SERVER, (record.began, end), offset,
            server_attributes(ended, tells_callers=self._tells_callers), error_of_server(ended),
            record.events if record.decision is None else _without_waits(record.events),
            () if record.link is None else (Link(_remote(record.link, "")),),
        )  # fmt: skip
        return [server, *self._decision(record, context, offset), *self._upstream(ended, offset)]

    def _decision(self, record: Record, parent: SpanContext, offset: float) -> list[ReadableSpan]:
        if record.decision is None or record.decided_at is None:
            return []
        at = record.decided_at
        # Its id: nobody else has to know it, so it follows from that of the span around it.
        context = _context(record, f"{int(record.span_id, 16) ^ 1 << 63 or 1:016x}")
        return [
            self._span(
                "authorize",
                context,
                parent,
                SpanKind.INTERNAL,
                (at - record.decision_seconds, at),
                offset,
                outcome_attributes(record.decision),
                "",
                [event for event in record.events if event.name == "wait"],
            )
        ]

    def _upstream(self, ended: Ended, offset: float) -> list[ReadableSpan]:
        record = ended.record
        if record.upstream_at is None:
            return []
        end = self._clock.steady()
        if record.upstream_ended_at is not None:
            end = record.upstream_ended_at
        events = list(record.upstream_events)
        if record.first_byte_at is not None:
            events.append(Event("first_byte", record.first_byte_at))
        return [
            self._span(
                upstream_name(ended),
                _context(record, record.upstream_id),
                _context(record, record.span_id),
                SpanKind.CLIENT,
                (record.upstream_at, end),
                offset,
                upstream_attributes(ended),
                error_of_upstream(ended),
                events,
            )
        ]

    def _span(  # noqa: PLR0913, PLR0917 - all that a span has
        self,
        name: str,
        context: SpanContext,
        parent: SpanContext | None,
        kind: SpanKind,
        moments: tuple[float, float],
        offset: float,
        attributes: Attributes,
        error: str,
        events: Sequence[Event],
        links: Sequence[Link] = (),
    ) -> ReadableSpan:
        if error:
            attributes = {**attributes, "error.type": error}
        begin, end = moments
        return ReadableSpan(
            name, context, parent, self._resource, attributes,
            [SpanEvent(each.name, dict(each.attributes), _ns(each.at + offset)) for each in events],
            links, kind, status=Status(StatusCode.ERROR) if error else _UNSET,
            start_time=_ns(begin + offset), end_time=_ns(end + offset),
            instrumentation_scope=_SCOPE,
        )  # fmt: skip


def _without_waits(events: Sequence[Event]) -> list[Event]:
    return [event for event in events if event.name != "wait"]


def _context(record: Record, span_id: str) -> SpanContext:
    return SpanContext(
        int(record.trace_id, 16), int(span_id, 16), is_remote=False, trace_flags=_SAMPLED,
        trace_state=_state(record.tracestate),
    )  # fmt: skip


def _remote(told: TraceParent, tracestate: str) -> SpanContext:
    flags = _SAMPLED if told.is_sampled else TraceFlags(TraceFlags.DEFAULT)
    return SpanContext(
        int(told.trace_id, 16), int(told.span_id, 16), is_remote=True, trace_flags=flags,
        trace_state=_state(tracestate),
    )  # fmt: skip


def _state(tracestate: str) -> TraceState:
    return TraceState.from_header([tracestate]) if tracestate else TraceState()


def _ns(moment: float) -> int:
    return int(moment * 1e9)
