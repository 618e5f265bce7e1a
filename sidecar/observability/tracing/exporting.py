"""Spans on their way to the collector, by the SDK's batches and its exporter (OTLP over HTTP).

A thread sends them. What does not fit in between is dropped and counted, never waited for, and a
collector that fails is logged of once a while.
"""

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import requests
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from typing_extensions import override

from sidecar.observability.trace_metrics import Drop, TraceMetrics

log = logging.getLogger(__name__)

# Encoding holds the interpreter: some 3 ms for so many, which requests under way have to wait.
_MOST_IN_BATCH = 128
_DELAY_MILLIS = 500.0
_SILENT_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class ExportPolicy:
    """Where spans go. ``timeout`` bounds one export, ``flush_seconds`` the last of all.

    ``queue`` spans may wait; ``ca`` is a PEM file.
    """

    endpoint: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    ca: Path | None = None
    timeout: float = 5.0
    queue: int = 2048
    flush_seconds: float = 2.0


def make_exporter(policy: ExportPolicy) -> SpanExporter:
    """Return what sends spans to the collector."""
    # The exporter says each failure twice, at each try; we say it once.
    logging.getLogger("opentelemetry.exporter.otlp").setLevel(logging.CRITICAL)
    session = requests.Session()
    session.trust_env = False  # neither its proxies nor its .netrc
    session.max_redirects = 0  # the headers are meant for the endpoint alone
    return OTLPSpanExporter(
        policy.endpoint,
        certificate_file=None if policy.ca is None else str(policy.ca),
        headers=dict(policy.headers),
        timeout=policy.timeout,
        # To squeeze a batch costs more than to send it where collectors are: nearby.
        compression=Compression.NoCompression,
        session=session,
    )


class SpanQueue:
    """What waits for the exporter, and what became of it. ``give`` is called on the event loop."""

    def __init__(
        self,
        exporter: SpanExporter,
        metrics: TraceMetrics,
        steady: Callable[[], float],
        *,
        queue: int,
    ) -> None:
        self._counted = _Counted(exporter, metrics, steady)
        self._metrics = metrics
        self._queue = queue
        self._given = 0
        self._processor = BatchSpanProcessor(
            self._counted,
            max_queue_size=queue,
            schedule_delay_millis=_DELAY_MILLIS,
            max_export_batch_size=min(_MOST_IN_BATCH, queue),
            export_timeout_millis=_DELAY_MILLIS,
        )

    def give(self, spans: Sequence[ReadableSpan]) -> None:
        """Have the spans of one request exported, or drop them all; never waits."""
        if self._given - self._counted.taken + len(spans) > self._queue:
            self._metrics.dropped(Drop.QUEUE, len(spans))
            return
        self._given += len(spans)
        for span in spans:
            self._processor.on_end(span)

    async def end(self, seconds: float) -> None:
        """Export what is left, for so long at most; what is left then is dropped."""
        loop, ended = asyncio.get_running_loop(), asyncio.Event()

        def shut_down() -> None:
            self._processor.shutdown()  # type: ignore[no-untyped-call]
            with suppress(RuntimeError):  # nobody waits any more: the loop is closed
                loop.call_soon_threadsafe(ended.set)

        # Not one of the loop's own threads: the end of the process waits for those.
        threading.Thread(target=shut_down, name="spans-end", daemon=True).start()
        try:
            async with asyncio.timeout(seconds):
                await ended.wait()
        except TimeoutError:
            self._counted.give_up()
        if left := self._given - self._counted.taken:
            self._metrics.dropped(Drop.SHUTDOWN, left)
            log.warning("%d spans were not exported before the end", left)


class _Counted(SpanExporter):
    """Counts what an exporter gets and loses; ``taken`` is read by another thread."""

    def __init__(
        self, exporter: SpanExporter, metrics: TraceMetrics, steady: Callable[[], float]
    ) -> None:
        self._exporter = exporter
        self._metrics = metrics
        self._steady = steady
        self._said_at = -_SILENT_SECONDS
        self._has_given_up = False
        self.taken = 0

    @override
    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        if self._has_given_up:
            return SpanExportResult.FAILURE  # they are counted already
        why = "the collector did not take them"
        try:
            result = self._exporter.export(spans)
        except Exception as error:  # noqa: BLE001 - whatever it is, the next batch may do better
            result, why = SpanExportResult.FAILURE, type(error).__name__
        if self._has_given_up:
            return result
        if result is SpanExportResult.SUCCESS:
            self._metrics.exported(len(spans))
        else:
            self._failed(len(spans), why)
        self.taken += len(spans)
        return result

    @override
    def shutdown(self) -> None:
        self._exporter.shutdown()

    def give_up(self) -> None:
        """Let what is under way be the last."""
        self._has_given_up = True
        self._exporter.shutdown()

    def _failed(self, spans: int, why: str) -> None:
        self._metrics.dropped(Drop.EXPORT, spans)
        now = self._steady()
        if now - self._said_at >= _SILENT_SECONDS:
            self._said_at = now
            log.warning("spans could not be exported: %s; requests go on", why)


@asynccontextmanager
async def exporting(
    exporter: SpanExporter,
    metrics: TraceMetrics,
    steady: Callable[[], float],
    policy: ExportPolicy,
) -> AsyncIterator[SpanQueue]:
    """Export spans until the block ends, which it does within ``flush_seconds``."""
    queue = SpanQueue(exporter, metrics, steady, queue=policy.queue)
    try:
        yield queue
    finally:
        await queue.end(policy.flush_seconds)
