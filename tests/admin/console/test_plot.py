"""Where the lines of a plot go."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sidecar.admin.console.plot import HEIGHT, WIDTH, Series, plot


def written(value: float) -> str:
    return f"{value:g}"


def test_the_latest_is_at_the_right_edge_however_few_there_are() -> None:
    found = plot([1, 2, 3], [Series("age", [0.0, 5.0, 10.0])], written, places=5)

    assert found.lines[0].points == ["300.0,120.0 450.0,60.0 600.0,0.0"]
    assert (found.top, found.lines[0].latest, found.bound) == ("10", "10", None)
    assert (found.since, found.until) == (1, 3)


def test_a_gap_is_a_gap_and_one_value_alone_a_dot() -> None:
    found = plot([1, 2, 3, 4], [Series("age", [1.0, 1.0, None, 1.0])], written, places=4)

    first, second = found.lines[0].points
    assert first == "0.0,0.0 200.0,0.0"
    assert second == "600.0,0.0 600.0,0.0"
    assert plot([1], [Series("age", [None])], written, places=4).lines[0].latest == "unknown"


def test_nothing_is_a_plot_too() -> None:
    found = plot([], [Series("age", [])], written, places=300, bound=0.5)

    assert (found.lines[0].points, found.lines[0].latest) == ([], "unknown")
    assert (found.since, found.spans, found.top) == (None, [], "0.8")
    assert found.bound == pytest.approx(45)


def test_the_same_in_words_has_medians_and_maxima_the_newest_first() -> None:
    moments = [float(each) for each in range(12)]
    found = plot(moments, [Series("age", moments), Series("x", [None] * 12)], written, places=12)

    assert found.spans[0].since == 10
    assert found.spans[0].figures == [("10.5", "11"), ("unknown", "unknown")]
    assert len(found.spans) == 6


@given(st.lists(st.none() | st.floats(0, 1e12), max_size=40))
@example([5e-324])
@example([1e-9])
def test_every_point_is_within_the_frame(values: list[float | None]) -> None:
    moments = [float(each) for each in range(len(values))]
    found = plot(moments, [Series("any", values)], written, places=40)

    for points in found.lines[0].points:
        for point in points.split():
            x, y = map(float, point.split(","))
            assert 0 <= x <= WIDTH
            assert 0 <= y <= HEIGHT
