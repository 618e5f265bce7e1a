"""Who is sampled, in whose trace, and how many at most."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.trace import Door, Field, Follow, Trace
from sidecar.core.trace_context import read_traceparent, read_tracestate
from sidecar.observability.tracing.sampler import Sampler, SamplingPolicy
from tests.fakes.clock import FakeClock

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
STRANGER, PROXY = False, True  # whether a peer is trusted


def told(flags: str = "01", *more: Field) -> list[Field]:
    return [(b"traceparent", f"00-{TRACE}-{SPAN}-{flags}".encode()), *more]


def sampler(
    ratio: float = 0.0, follow: Follow = Follow.TRUSTED, per_second: float = 100.0
) -> Sampler:
    return Sampler(SamplingPolicy(ratio, follow, per_second), FakeClock())


def begin(some: Sampler, trusted: bool, fields: list[Field]) -> Trace:  # noqa: FBT001
    return some.begin(Door.HTTP, "192.0.2.7", "http", fields, trusted=trusted)


def test_a_followed_parent_decides_and_is_continued() -> None:
    state = (b"tracestate", b"a=1")
    trace = begin(sampler(), PROXY, told("01", state))

    record = trace.record
    assert record is not None
    assert record.parent == read_traceparent([f"00-{TRACE}-{SPAN}-01"])
    assert trace.trace_id == record.trace_id == TRACE
    assert trace.tracestate == "a=1"
    assert trace.traceparent == f"00-{TRACE}-{record.upstream_id}-01"
    assert len({record.span_id, record.upstream_id, SPAN}) == 3


def test_a_followed_parent_that_is_not_sampled_goes_on_as_it_came_whatever_the_ratio() -> None:
    trace = begin(sampler(ratio=1.0), PROXY, told("00", (b"tracestate", b"a=1")))

    assert trace.record is None
    assert trace.traceparent == f"00-{TRACE}-{SPAN}-00"
    assert trace.tracestate == "a=1"


@pytest.mark.parametrize(
    ("follow", "trusted"), [(Follow.TRUSTED, STRANGER), (Follow.NOBODY, PROXY)]
)
def test_who_is_not_followed_neither_decides_nor_is_continued(
    follow: Follow,
    trusted: bool,  # noqa: FBT001
) -> None:
    state = (b"tracestate", b"a=1")
    assert begin(sampler(0.0, follow), trusted, told("01", state)).record is None
    trace = begin(sampler(1.0, follow), trusted, told("00", state))

    record = trace.record
    assert record is not None
    assert record.parent is None
    assert record.link == read_traceparent([f"00-{TRACE}-{SPAN}-00"])
    assert trace.trace_id != TRACE
    assert trace.tracestate == ""


def test_the_ratio_is_that_of_requests_without_a_parent() -> None:
    some = sampler(ratio=0.25, per_second=1e6)
    sampled = sum(begin(some, STRANGER, []).record is not None for _ in range(4000))

    assert 800 < sampled < 1200


def test_whoever_asks_for_it_no_more_than_so_many_a_second_are_sampled() -> None:
    clock, limited = FakeClock(), [0]

    def count() -> None:
        limited[0] += 1

    some = Sampler(SamplingPolicy(1.0, Follow.ALL, 5.0), clock, count)

    def burst() -> int:
        traces = [begin(some, STRANGER, told()) for _ in range(100)]
        return sum(trace.record is not None for trace in traces)

    assert burst() == 5
    clock.advance(0.5)
    assert burst() == 2
    clock.advance(3600)
    assert burst() == 5
    assert limited == [288]


def test_one_too_many_clears_the_flag_under_an_id_of_its_own() -> None:
    """W3C Trace Context, 3.4: the parent-id changes with the flag."""
    some = sampler(follow=Follow.ALL, per_second=1.0)
    begin(some, STRANGER, told())
    trace = begin(some, STRANGER, told("01", (b"tracestate", b"a=1")))

    assert trace.traceparent.endswith("-00")
    assert (trace.trace_id, trace.tracestate) == (TRACE, "a=1")
    assert SPAN not in trace.traceparent


def test_less_than_one_a_second_still_is_one_now_and_then() -> None:
    clock = FakeClock()
    some = Sampler(SamplingPolicy(1.0, Follow.TRUSTED, 0.1), clock)
    first, second = begin(some, STRANGER, []), begin(some, STRANGER, [])
    clock.advance(11)

    assert first.record is not None
    assert second.record is None
    assert begin(some, STRANGER, []).record is not None


FIELDS = st.lists(
    st.tuples(
        st.sampled_from([b"traceparent", b"tracestate"]),
        st.one_of(
            st.binary(max_size=80),
            st.from_regex(rb"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-0[01]", fullmatch=True),
            st.from_regex(rb"[a-z]{1,3}=[a-z]{1,3}(,[a-z]=1){0,40}", fullmatch=True),
        ),
    ),
    max_size=4,
)
SAMPLERS = {
    (ratio, follow): sampler(ratio, follow, 1e9) for ratio, follow in product((0.0, 1.0), Follow)
}


@given(FIELDS, st.sampled_from(sorted(SAMPLERS)), st.sampled_from([STRANGER, PROXY]))
def test_whatever_comes_upstream_gets_one_good_trace(
    fields: list[Field],
    which: tuple[float, Follow],
    trusted: bool,  # noqa: FBT001
) -> None:
    trace = begin(SAMPLERS[which], trusted, fields)

    sent = dict(trace.fields())
    parent = read_traceparent([sent[b"traceparent"].decode()])
    assert parent is not None
    assert parent.value == trace.traceparent
    assert parent.is_sampled is (trace.record is not None)
    state = sent.get(b"tracestate", b"").decode()
    assert read_tracestate([state]) == state
