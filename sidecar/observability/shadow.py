"""What would have been refused or cut on routes in shadow, for metrics."""

from prometheus_client import CollectorRegistry, Counter, Gauge

from sidecar.core.decision import Deny, DenyReason, Grant
from sidecar.ports import CutReason


class Shadow:
    """Counts apart from what is refused and cut: who is alarmed by that is to be so with reason."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._routes = Gauge(
            "sidecar_shadow_routes", "Routes in shadow: nothing is enforced there.",
            registry=registry, multiprocess_mode="livemax",
        )  # fmt: skip
        denials = Counter(
            "sidecar_shadow_denials", "Requests let through that would have been denied.",
            ("reason",), registry=registry,
        )  # fmt: skip
        self._denials = {reason: denials.labels(reason.value) for reason in DenyReason}
        cuts = Counter(
            "sidecar_shadow_cuts", "Requests under way let go on that would have been cut.",
            ("reason",), registry=registry,
        )  # fmt: skip
        self._cuts = {reason: cuts.labels(reason.value) for reason in CutReason}

    def in_force(self, routes: int) -> None:
        """Set how many routes are in shadow by the settings in force."""
        self._routes.set(routes)

    def denied(self, deny: Deny) -> None:
        """Count what would have been denied."""
        self._denials[deny.reason].inc()

    def spared(self, reason: CutReason, grant: Grant) -> None:
        """Count what would have been cut."""
        del grant
        self._cuts[reason].inc()
