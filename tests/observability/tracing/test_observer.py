"""Sampled requests are given away when they end, and nothing is done for the others."""

from sidecar.core.decision import Deny, DenyReason
from sidecar.core.request import AccessRequest
from sidecar.core.trace import Arrival, Door, Record, Trace
from sidecar.observability.tracing.observer import Ended, SpanObserver
from sidecar.ports import UpstreamError
from tests.fakes.clock import FakeClock

PARENT = f"00-{'1' * 32}-{'2' * 16}-01"


def request(*, sampled: bool) -> AccessRequest:
    arrival = Arrival(Door.HTTP, "", "http")
    ids = ("1" * 32, "3" * 16, "2" * 16)
    record = Record(arrival, FakeClock().steady, ids, "", None, None) if sampled else None
    asked = AccessRequest("GET", "a", "/x", "", (), "", "r-1")
    asked.trace = Trace(PARENT, "", record)
    return asked


def go_through(observer: SpanObserver, asked: AccessRequest) -> None:
    observer.decided(asked, Deny(DenyReason.NO_ROUTE), 0.25)
    observer.upstream_failed(asked, UpstreamError.RESET)
    observer.answered(asked, 502, 0.5)
    observer.call_ended(asked, "OK", 0.5)


def test_a_sampled_request_is_given_with_what_was_noted_of_it() -> None:
    observer, asked = SpanObserver(), request(sampled=True)
    ended: list[Ended] = []
    with observer.given_to(ended.append):
        go_through(observer, asked)
    go_through(observer, asked)

    assert [(each.status, each.code) for each in ended] == [(502, ""), (None, "OK")]
    record = ended[0].record
    assert record is asked.record
    assert (record.decision, record.failure) == (Deny(DenyReason.NO_ROUTE), "reset")


def test_others_are_not() -> None:
    observer = SpanObserver()
    ended: list[Ended] = []
    with observer.given_to(ended.append):
        go_through(observer, request(sampled=False))
        go_through(observer, AccessRequest("GET", "a", "/x", "", (), "", "r-1"))

    assert ended == []
