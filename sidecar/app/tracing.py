"""Tracing, made from settings. What needs the extra ``tracing`` is imported only where it is on."""

import asyncio
import logging
import os
from collections.abc import AsyncIterator, MutableMapping
from contextlib import asynccontextmanager

from sidecar.app.observing import Observing
from sidecar.core.trace import Tracer
from sidecar.observability.tracing.sampler import Sampler, SamplingPolicy
from sidecar.ports import Clock
from sidecar.settings import Settings
from sidecar.settings.tracing import Tracing

log = logging.getLogger(__name__)

_OF_THE_LIBRARY = "OTEL_"


@asynccontextmanager
async def tracing(
    settings: Settings, observed: Observing, clock: Clock
) -> AsyncIterator[Tracer | None]:
    """Export spans until the block ends; give what says which requests are sampled, or None.

    Raises:
        OSError, ValueError: a file of ``tracing`` cannot be used any more.
    """
    section, spans = settings.tracing, observed.spans
    if section is None or spans is None:
        yield None
        return
    forget_variables(os.environ)  # before the library is imported: it reads some of them then
    # At a reload requests are under way, and this takes longer than they should wait.
    await asyncio.to_thread(_import)
    from sidecar.observability.tracing import collector, exporting  # noqa: PLC0415 - an extra

    policy = exporting.ExportPolicy(
        section.endpoint,
        section.read_headers(),
        section.ca,
        section.timeout,
        section.queue,
        section.flush_seconds,
    )
    service = collector.Service(section.service_name, section.resource, section.callers)
    async with collector.collecting(policy, service, observed.traces, clock) as give:
        with spans.given_to(give):
            yield _sampler(section, settings.worker_count(), observed, clock)


def _import() -> None:
    from sidecar.observability.tracing import collector  # noqa: F401, PLC0415


def _sampler(section: Tracing, workers: int, observed: Observing, clock: Clock) -> Sampler:
    share = section.max_per_second / workers
    policy = SamplingPolicy(section.ratio, section.follow, share)
    return Sampler(policy, clock, observed.traces.limited)


def forget_variables(environ: MutableMapping[str, str]) -> None:
    """Take the tracing library's variables out of ``environ``: settings alone say what holds.

    A header or a certificate that somebody's variable adds would go unseen by whoever reads them.
    """
    names = sorted(name for name in environ if name.startswith(_OF_THE_LIBRARY))
    if names:
        log.warning("%s: ignored; what is traced is in the settings", ", ".join(names))
    for name in names:
        del environ[name]
