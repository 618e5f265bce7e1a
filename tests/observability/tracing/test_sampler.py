"""Who is sampled, in whose trace, and how many at most."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.trace import Arrival, Door, Field, Follow
from sidecar.core.trace_context import read_traceparent, read_tracestate
from sidecar.observability.tracing.sampler import Sampler, SamplingPolicy
from tests.fakes.clock import FakeClock

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
STRANGER = Arrival(Door.HTTP, "192.0.2.7", "http", trusted=False)
PROXY = STRANGER._replace(trusted=True)


def told(flags: str = "01", *more: Field) -> list[Field]:
    return [(b"traceparent", f"00-{TRACE}-{SPAN}-{flags}".encode()), *more]


def sampler(
    ratio: float = 0.0, follow: Follow = Follow.TRUSTED, per_second: float = 100.0
) -> Sampler:
    return Sampler(SamplingPolicy(ratio, follow, per_second), FakeClock())


def test_a_followed_parent_decides_and_is_continued() -> None:
    state = (b"tracestate", b"a=1")
    trace = sampler().begin(PROXY, told("01", state))

    record = trace.record
    assert record is not None
    assert record.parent == read_traceparent([f"00-{TRACE}-{SPAN}-01"])
    assert trace.trace_id == record.trace_id == TRACE
    assert trace.tracestate == "a=1"
    assert trace.parent.span_id == record.upstream_id
    assert len({record.span_id, record.upstream_id, SPAN}) == 3


def test_a_followed_parent_that_is_not_sampled_goes_on_as_it_came_whatever_the_ratio() -> None:
    trace = sampler(ratio=1.0).begin(PROXY, told("00", (b"tracestate", b"a=1")))

    assert trace.record is None
    assert trace.parent.value == f"00-{TRACE}-{SPAN}-00"
    assert trace.tracestate == "a=1"


@pytest.mark.parametrize(
    ("follow", "arrival"), [(Follow.TRUSTED, STRANGER), (Follow.NOBODY, PROXY)]
)
def test_who_is_not_followed_neither_decides_nor_is_continued(
    follow: Follow, arrival: Arrival
) -> None:
    state = (b"tracestate", b"a=1")
    assert sampler(0.0, follow).begin(arrival, told("01", state)).record is None
    trace = sampler(1.0, follow).begin(arrival, told("00", state))

    record = trace.record
    assert record is not None
    assert record.parent is None
    assert record.link == read_traceparent([f"00-{TRACE}-{SPAN}-00"])
    assert trace.trace_id != TRACE
    assert trace.tracestate == ""


def test_the_ratio_is_that_of_requests_without_a_parent() -> None:
    some = sampler(ratio=0.25, per_second=1e6)
    sampled = sum(some.begin(STRANGER, []).record is not None for _ in range(4000))

    assert 800 < sampled < 1200


def test_whoever_asks_for_it_no_more_than_so_many_a_second_are_sampled() -> None:
    clock, limited = FakeClock(), [0]

    def count() -> None:
        limited[0] += 1

    some = Sampler(SamplingPolicy(1.0, Follow.ALL, 5.0), clock, count)

    def burst() -> int:
        traces = [some.begin(STRANGER, told()) for _ in range(100)]
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
    some.begin(STRANGER, told())
    trace = some.begin(STRANGER, told("01", (b"tracestate", b"a=1")))

    assert not trace.parent.is_sampled
    assert (trace.trace_id, trace.tracestate) == (TRACE, "a=1")
    assert trace.parent.span_id != SPAN


def test_less_than_one_a_second_still_is_one_now_and_then() -> None:
    clock = FakeClock()
    some = Sampler(SamplingPolicy(1.0, Follow.TRUSTED, 0.1), clock)
    first, second = some.begin(STRANGER, []), some.begin(STRANGER, [])
    clock.advance(11)

    assert first.record is not None
    assert second.record is None
    assert some.begin(STRANGER, []).record is not None


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
    fields: list[Field], which: tuple[float, Follow], arrival: Arrival
) -> None:
    trace = SAMPLERS[which].begin(arrival, fields)

    sent = dict(trace.fields())
    parent = read_traceparent([sent[b"traceparent"].decode()])
    assert parent == trace.parent
    assert parent.is_sampled is (trace.record is not None)
    state = sent.get(b"tracestate", b"").decode()
    assert read_tracestate([state]) == state
