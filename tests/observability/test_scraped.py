"""What is read back from an exposition is what was counted."""

import pytest

from sidecar.core.decision import Deny, DenyReason, Grant
from sidecar.core.request import AccessRequest
from sidecar.core.routes import Route
from sidecar.observability.metrics import Metrics
from sidecar.observability.scraped import Keys, read_metrics
from sidecar.ports import CutReason, StreamKind

ASKED = AccessRequest("GET", "sidecar.example", "/", "", (), "192.0.2.7", "request-1")
ISSUER = 'https://idp.example/"{odd}"'


def exposition(metrics: Metrics) -> str:
    return metrics.render("text/plain")[0].decode()


def test_what_was_counted_is_read_back() -> None:
    metrics = Metrics()
    metrics.decided(ASKED, Grant(Route("health", "/health")), 0.1)
    for _ in range(3):
        metrics.decided(ASKED, Deny(DenyReason.SUBJECT_INACTIVE), 0.1)
    metrics.cut(CutReason.REVOKED, 7)
    metrics.in_flight(StreamKind.WEBSOCKET, 2)
    metrics.keys_loaded(ISSUER, 4, 1_700_000_000.0)
    metrics.view_state(live=True, proven_at=1_700_000_001.5)

    reading = read_metrics(exposition(metrics))

    assert reading.decisions["granted", ""] == 1
    assert reading.decisions["denied", "subject_inactive"] == 3
    assert reading.decisions["denied", "bad_signature"] == 0
    assert reading.cuts["revoked"] == 7
    assert reading.in_flight == {"http": 0, "websocket": 2, "grpc": 0}
    assert reading.keys == {ISSUER: Keys(4, 1_700_000_000.0)}
    assert reading.is_live
    assert reading.proven_at == 1_700_000_001.5


def test_a_sidecar_that_has_just_started_is_read_too() -> None:
    reading = read_metrics(exposition(Metrics()))

    assert not reading.is_live
    assert reading.proven_at == 0
    assert reading.keys == {}


@pytest.mark.parametrize("text", ["", "<html>", "up 1\n", "sidecar_decisions_total{ 1\n"])
def test_what_is_no_sidecars_exposition_is_not_read(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_metrics(text)
