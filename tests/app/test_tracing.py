"""Tracing from the settings, and nothing at all without."""

from pathlib import Path
from typing import Any

import pytest

from sidecar.adapters.clock import SystemClock
from sidecar.app.observing import observing
from sidecar.app.tracing import forget_variables, tracing
from sidecar.core.decision import Deny, DenyReason
from sidecar.core.request import AccessRequest
from sidecar.core.trace import Door
from tests.app.test_parts import settings
from tests.fakes.collector import running_collector


async def test_where_it_is_not_asked_for_nothing_is_traced(tmp_path: Path) -> None:
    found, clock = settings(tmp_path), SystemClock()
    with observing(clock) as observed:
        watched = observed(found)
        async with tracing(found, watched, clock) as tracer:
            assert tracer is None
        assert watched.spans is None


async def test_what_is_observed_of_a_sampled_request_comes_to_the_collector(
    tmp_path: Path,
) -> None:
    async with running_collector() as collector:
        section: dict[str, Any] = {"endpoint": collector.url, "ratio": 1.0}
        found, clock = settings(tmp_path, tracing=section), SystemClock()
        with observing(clock) as observed:
            watched = observed(found)
            async with tracing(found, watched, clock) as tracer:
                assert tracer is not None
                asked = AccessRequest("GET", "a", "/x", "", (), "192.0.2.7", "r-1")
                asked.trace = tracer.begin(Door.HTTP, "192.0.2.7", "http", [], trusted=False)
                watched.observer.decided(asked, Deny(DenyReason.NO_ROUTE), 0.1)
                watched.observer.answered(asked, 403, 0.2)

        spans = collector.of(asked.trace.trace_id)
        assert spans["server"].attributes["http.response.status_code"] == 403
        assert spans["internal"].parent == spans["server"].span_id


def test_variables_of_the_library_are_forgotten(caplog: pytest.LogCaptureFixture) -> None:
    environ = {"OTEL_SDK_DISABLED": "true", "OTEL_EXPORTER_OTLP_HEADERS": "a=s3cret", "HOME": "/"}
    forget_variables(environ)

    assert environ == {"HOME": "/"}
    assert "OTEL_EXPORTER_OTLP_HEADERS, OTEL_SDK_DISABLED: ignored" in caplog.text
    assert "s3cret" not in caplog.text
