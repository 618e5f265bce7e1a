"""A collector on loopback: takes spans by OTLP over HTTP, and keeps them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

KINDS = {1: "internal", 2: "server", 3: "client"}


@dataclass(frozen=True)
class Span:
    """A span as it came: ids in hexadecimal, ``parent`` empty for none, moments in nanoseconds."""

    name: str
    kind: str
    trace_id: str
    span_id: str
    parent: str
    attributes: dict[str, Any]
    resource: dict[str, Any]
    events: list[str]
    start: int
    end: int
    is_error: bool


@dataclass
class Collector:
    """``url`` is where it is; it answers with ``status``."""

    url: str = ""
    status: int = 200
    spans: list[Span] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)

    def of(self, trace_id: str) -> dict[str, Span]:
        """Return the spans of a trace, by kind."""
        return {span.kind: span for span in self.spans if span.trace_id == trace_id}

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await request.read()
        self.headers.append(dict(request.headers))
        if self.status == 200:
            self.spans += _spans(ExportTraceServiceRequest.FromString(body))
        elsewhere = {"Location": self.url} if self.status == 307 else {}
        return web.Response(status=self.status, headers=elsewhere)


@asynccontextmanager
async def running_collector() -> AsyncIterator[Collector]:
    collector = Collector()
    loop = asyncio.get_running_loop()
    handler = web.Server(collector.handle, access_log=None)
    server = await loop.create_server(handler, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    collector.url = f"http://127.0.0.1:{port}/v1/traces"
    try:
        yield collector
    finally:
        server.close()
        await handler.shutdown(0.1)  # whoever is left reads no more


def _spans(message: Any) -> list[Span]:
    return [
        Span(
            span.name,
            KINDS[span.kind],
            span.trace_id.hex(),
            span.span_id.hex(),
            span.parent_span_id.hex(),
            _attributes(span.attributes),
            _attributes(each.resource.attributes),
            [event.name for event in span.events],
            span.start_time_unix_nano,
            span.end_time_unix_nano,
            span.status.code == 2,
        )
        for each in message.resource_spans
        for scope in each.scope_spans
        for span in scope.spans
    ]


def _attributes(pairs: Any) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in pairs}
