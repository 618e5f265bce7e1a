"""Tallies tell their metrics what observing one by one would have."""

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from sidecar.observability.tally import CounterTally, HistogramTally

BOUNDS = (0.001, 0.01, 0.1)


def samples(registry: CollectorRegistry) -> dict[tuple[str, str], float]:
    return {
        (sample.name, sample.labels.get("le", "")): round(sample.value, 9)
        for family in registry.collect()
        for sample in family.samples
    }


@given(st.lists(st.sampled_from([0.0, 0.0005, 0.001, 0.0011, 0.01, 0.05, 0.1, 3.0]), max_size=30))
def test_a_histogram_hears_the_same_whether_at_once_or_one_by_one(values: list[float]) -> None:
    at_once, one_by_one = CollectorRegistry(), CollectorRegistry()
    tally = HistogramTally(Histogram("h", "h", buckets=BOUNDS, registry=at_once), BOUNDS)
    histogram = Histogram("h", "h", buckets=BOUNDS, registry=one_by_one)
    for number, value in enumerate(values):
        tally.observe(value)
        histogram.observe(value)
        if number % 7 == 0:
            tally.flush()
    tally.flush()
    tally.flush()

    assert samples(at_once) == samples(one_by_one)


def test_a_count_is_told_once() -> None:
    registry = CollectorRegistry()
    tally = CounterTally(Counter("c", "c", registry=registry))
    tally.pending += 3
    tally.flush()
    tally.flush()

    assert samples(registry)["c_total", ""] == 3


def test_a_gauge_can_be_lowered() -> None:
    registry = CollectorRegistry()
    tally = CounterTally(Gauge("g", "g", registry=registry))
    tally.pending += 2
    tally.flush()
    tally.pending -= 1
    tally.flush()

    assert samples(registry)["g", ""] == 1
