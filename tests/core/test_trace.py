"""What is noted of a sampled request."""

from collections.abc import Callable

from sidecar.core.decision import Deny, DenyReason
from sidecar.core.trace import Arrival, Door, Record, Trace
from tests.fakes.clock import FakeClock

PARENT = f"00-{'1' * 32}-{'2' * 16}-01"
ARRIVAL = Arrival(Door.HTTP, "192.0.2.7", "http")


def record(clock: FakeClock) -> Record:
    return Record(ARRIVAL, clock.steady, ("1" * 32, "3" * 16, "2" * 16), "", None, None)


def test_moments_are_noted_as_they_come() -> None:
    clock = FakeClock()
    noted = record(clock)
    began = clock.steady()
    steps: tuple[Callable[[], None], ...] = (
        lambda: noted.decided(Deny(DenyReason.NO_ROUTE), 0.5),
        lambda: noted.asked("http://a"),
        lambda: noted.connected(("127.0.0.1", 80), is_reused=False),
        lambda: noted.received(200),
        lambda: noted.received(500),
        noted.upstream_ended,
    )
    for step in steps:
        clock.advance(1)
        step()

    assert (noted.began, noted.decided_at, noted.upstream_at) == (began, began + 1, began + 2)
    assert (noted.first_byte_at, noted.upstream_ended_at) == (began + 4, began + 6)
    assert noted.upstream_status == 200
    assert [event.name for event in noted.upstream_events] == ["connected"]


def test_another_address_is_another_try() -> None:
    noted = record(FakeClock())
    noted.asked("http://a")
    noted.asked("http://b")
    noted.connected(None, is_reused=True)

    assert noted.address == "http://b"
    assert [event.name for event in noted.upstream_events] == ["retry", "connection.reused"]


def test_what_is_noted_is_bounded() -> None:
    noted = record(FakeClock())
    for _ in range(1000):
        noted.waited("keys", 0.1)
        noted.asked("http://a")

    assert len(noted.events) == len(noted.upstream_events) == 32


def test_upstream_is_told_of_the_trace() -> None:
    trace = Trace(PARENT, "a=1")

    assert trace.trace_id == "1" * 32
    assert trace.lines() == b"traceparent: 00-%b-%b-01\r\ntracestate: a=1\r\n" % (
        b"1" * 32,
        b"2" * 16,
    )
    assert Trace(PARENT).lines().count(b"\r\n") == 1


def test_a_cut_is_noted_where_there_is_a_record() -> None:
    noted = record(FakeClock())
    noted.failed("reset")
    for trace in (Trace(PARENT), Trace(PARENT, "", noted)):
        trace.cut("revoked")

    assert [(event.name, event.attributes) for event in noted.events] == [
        ("cut", (("reason", "revoked"),))
    ]
    assert noted.failure == "reset"
