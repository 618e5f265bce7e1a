"""What holds callers to their limits, and all of them together to what can be done."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sidecar.admission import Limiter, LimitRules
from sidecar.app.observing import Observing
from sidecar.authorize import Admission
from sidecar.settings import Settings
from sidecar.shedding import Shedder
from sidecar.streams import Streams


@asynccontextmanager
async def admitting(
    settings: Settings, observed: Observing, streams: Streams
) -> AsyncIterator[Admission]:
    """Give what a request has to get past beside the rules, and keep it going."""
    limits = settings.limits
    shedder = Shedder(streams, limits.max_in_flight, limits.max_lag, limits.max_lag_for)
    with observed.loop_watch.heard(shedder.heard):
        yield Admission(shedder, make_limiter(settings))


def make_limiter(settings: Settings) -> Limiter | None:
    """Return what holds callers to their limits; None where nobody is held to any."""
    processes = settings.sharing_processes()
    of_routes = {
        each.name: each.rate_limit.limit("route", processes)
        for each in settings.routes
        if each.rate_limit is not None
    }
    section = settings.rate_limit
    if section is None:
        return Limiter(LimitRules(routes=of_routes)) if of_routes else None
    return Limiter(section.rules(of_routes, processes))
