"""What is said of routes in shadow, where nothing is enforced: somebody may have forgotten them."""

import logging
import re
from collections.abc import Iterator

from sidecar.admin.listener import AdminListener
from sidecar.core.routes import Route, Routes
from sidecar.settings import Problem, Settings

log = logging.getLogger(__name__)


def shadow_warnings(settings: Settings) -> Iterator[Problem]:
    """Say which routes enforce nothing, and what makes that worse than it has to be."""
    routes = settings.routes_table()
    if not routes.in_shadow:
        return
    yield Problem(
        "shadow",
        f"NOTHING IS ENFORCED on {routes.in_shadow} of {len(routes.routes)} routes: what would be"
        " refused there passes, for upstream to judge",
    )
    if settings.log.decisions == "none":
        yield Problem("shadow", "nobody sees what would be refused: log.decisions is none")
    if not settings.forward_authorization:
        yield Problem(
            "shadow",
            "upstream gets no token (forward_authorization: false), so it has nothing to judge by:"
            " who would be refused passes without any credential",
        )
    for route in routes.routes:
        if route.requirement.bearer and not route.shadow:
            yield from _beside(route, routes)


def tell_of_shadow(admin: AdminListener, settings: Settings) -> None:
    """Have it in the log, and in what the admin listener says of being ready."""
    admin.shadow_routes = settings.routes_table().in_shadow
    for warning in shadow_warnings(settings):
        log.warning("%s", warning)


def _beside(route: Route, routes: Routes) -> Iterator[Problem]:
    """Name what upstream may take for an enforced route's, and another route in shadow lets pass.

    A path is matched as it came; many a program takes /x/ for /x, and HEAD for GET.
    """
    own = re.sub(r"\{[a-z_]+\}", "x", route.pattern.removesuffix("**"))
    other = own.removesuffix("/") if own.endswith("/") else f"{own}/"
    asked = [(method, other) for method in sorted(route.methods) or [""]]
    if "GET" in route.methods:
        asked.append(("HEAD", own))
    for method, path in asked:
        found = routes.match_route(method, path)
        if found is not None and found.shadow:
            what = f"{method} {path}".strip()
            yield Problem(
                "shadow",
                f'{what} is in shadow by route "{found.name}", beside route "{route.name}", which'
                " is enforced: if upstream takes the one for the other, give it a route, too",
            )
