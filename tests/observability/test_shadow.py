"""What routes in shadow let pass is counted apart."""

from sidecar.core.decision import Deny, DenyReason, Grant
from sidecar.core.request import AccessRequest
from sidecar.core.routes import Route
from sidecar.observability.metrics import Metrics
from sidecar.ports import CutReason
from tests.observability.test_metrics import scrape

REQUEST = AccessRequest("GET", "host", "/x", "", (), "::1", "r-1")
SHADOW = Route("shadow", "/x", shadow=True)


def test_who_is_let_through_in_shadow_raises_no_alarm_about_denials() -> None:
    """As with Envoy's shadow rules: it passed, and beside that it is counted what it would be."""
    metrics = Metrics()
    metrics.shadow.in_force(2)
    metrics.decided(
        REQUEST, Grant(SHADOW, shadowed=Deny(DenyReason.SUBJECT_UNKNOWN, route=SHADOW)), 0.001
    )
    metrics.spared(CutReason.EXPIRED, Grant(SHADOW))

    found = scrape(metrics)
    assert found["sidecar_decisions_total,outcome=granted,reason="] == 1
    assert found["sidecar_decisions_total,outcome=denied,reason=subject_unknown"] == 0
    assert found["sidecar_shadow_denials_total,reason=subject_unknown"] == 1
    assert found["sidecar_shadow_denials_total,reason=token_expired"] == 0
    assert found["sidecar_shadow_cuts_total,reason=expired"] == 1
    assert found["sidecar_stream_cuts_total,reason=expired"] == 0
    assert found["sidecar_shadow_routes"] == 2
