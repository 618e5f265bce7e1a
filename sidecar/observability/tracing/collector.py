"""From a request that has ended to the collector: spans made, and on their way."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from opentelemetry.sdk.resources import Resource

from sidecar import __version__
from sidecar.observability.trace_metrics import TraceMetrics
from sidecar.observability.tracing.exporting import ExportPolicy, exporting, make_exporter
from sidecar.observability.tracing.observer import Ended
from sidecar.observability.tracing.spans import SpanMaker
from sidecar.ports import Clock


@dataclass(frozen=True, slots=True)
class Service:
    """Who we are in our spans, and whether these name who was calling."""

    name: str = "sidecar"
    attributes: Mapping[str, str] = field(default_factory=dict)
    tells_callers: bool = False

    def resource(self) -> Resource:
        """Return what all our spans have in common; nothing is looked for in the environment."""
        own = {"service.name": self.name, "service.version": __version__}
        sdk = {"telemetry.sdk.language": "python", "telemetry.sdk.name": "opentelemetry"}
        return Resource({**sdk, **self.attributes, **own})


@asynccontextmanager
async def collecting(
    policy: ExportPolicy, service: Service, metrics: TraceMetrics, clock: Clock
) -> AsyncIterator[Callable[[Ended], None]]:
    """Give what takes each sampled request that has ended; export until the block ends."""
    maker = SpanMaker(clock, service.resource(), tells_callers=service.tells_callers)
    async with exporting(make_exporter(policy), metrics, clock.steady, policy) as queue:

        def give(ended: Ended) -> None:
            queue.give(maker.spans(ended))

        yield give
