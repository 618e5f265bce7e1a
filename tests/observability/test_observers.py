import logging
from typing import Any

import pytest

from sidecar.core.decision import Deny, DenyReason, Grant
from sidecar.core.request import AccessRequest
from sidecar.core.routes import Route
from sidecar.core.subject import SubjectKey
from sidecar.observability.observers import Observers
from sidecar.ports import (
    AuditRecord,
    CutReason,
    FetchOutcome,
    StreamKind,
    UpstreamError,
    ViewEvent,
)
from tests.fakes.observer import RecordingObserver

REQUEST = AccessRequest("GET", "a", "/x", "", (), "127.0.0.1", "r")


class Broken:
    """Fails at whatever it is told."""

    def __getattr__(self, name: str) -> Any:
        def fail(*_: object) -> None:
            raise RuntimeError(name)

        return fail


def tell_all(observers: Observers) -> None:
    observers.decided(REQUEST, Deny(DenyReason.NO_ROUTE), 0.1)
    observers.answered(REQUEST, 403, 0.1)
    observers.call_ended(REQUEST, "OK", 0.1)
    observers.upstream_failed(REQUEST, UpstreamError.RESET)
    observers.in_flight(StreamKind.HTTP, 1)
    observers.cut(CutReason.REVOKED, 1)
    observers.spared(CutReason.REVOKED, Grant(Route("r", "/x", shadow=True)))
    observers.keys_fetched("i", FetchOutcome.FETCHED, 0.1)
    observers.keys_loaded("i", 1, 0.1)
    observers.view_changed(ViewEvent.LIVE)
    observers.view_proven(0.25)
    observers.audited(AuditRecord(1.0, "a", "b", SubjectKey("r", "s"), None, None))


def test_each_is_told_everything_and_a_broken_one_disturbs_nobody(
    caplog: pytest.LogCaptureFixture,
) -> None:
    first, last = RecordingObserver(), RecordingObserver()
    observers = Observers(first, Broken(), last)

    with caplog.at_level(logging.ERROR):
        tell_all(observers)
        tell_all(observers)

    for each in (first, last):
        assert (
            len(each.decisions)
            == len(each.answers)
            == len(each.calls)
            == len(each.upstream_failures)
            == 2
        )
        assert each.in_flight_now[StreamKind.HTTP] == 2
        assert len(each.cuts) == len(each.spared_streams) == 2
        assert len(each.fetches) == len(each.loads) == 2
        assert len(each.view_events) == len(each.heartbeats) == len(each.audits) == 2
    assert len(caplog.records) == 12  # each kind of failure once, however often it comes
