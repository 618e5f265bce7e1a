"""What is said of routes in shadow, where nothing is enforced: somebody may have forgotten them."""

import logging
from collections.abc import Iterator

from sidecar.admin.listener import AdminListener
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


def tell_of_shadow(admin: AdminListener, settings: Settings) -> None:
    """Have it in the log, and in what the admin listener says of being ready."""
    admin.shadow_routes = settings.routes_table().in_shadow
    for warning in shadow_warnings(settings):
        log.warning("%s", warning)
