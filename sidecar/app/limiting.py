"""The limits of callers, made from settings."""

from sidecar.admission import Limiter, LimitRules
from sidecar.settings import Settings


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
