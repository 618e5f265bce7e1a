"""Where the lines of a plot go: numbers for a template's SVG, and the same in words.

No library and no style in the markup: colours are the stylesheet's.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

WIDTH, HEIGHT = 600.0, 120.0
_NOTHING = 1e-9
_STEPS = (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0)
_ROWS = 6


@dataclass(frozen=True, slots=True)
class Line:
    """A line, or several where values are missing: ``points`` of each as SVG writes them."""

    name: str
    points: Sequence[str]
    latest: str


@dataclass(frozen=True, slots=True)
class Span:
    """A part of the time in words: from when (epoch seconds), and each line's median and most."""

    since: float
    figures: Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Plot:
    """What a template draws. ``bound`` is where the line of the bound goes, if it is in sight."""

    lines: Sequence[Line]
    top: str
    bound: float | None
    since: float | None
    until: float | None
    spans: Sequence[Span]


@dataclass(frozen=True, slots=True)
class Series:
    """Values by name, a value a second; None where there is none."""

    name: str
    values: Sequence[float | None]


def plot(
    moments: Sequence[float],
    series: Sequence[Series],
    write: Callable[[float], str],
    *,
    places: int,
    bound: float = 0.0,
) -> Plot:
    """Return the plot of ``series`` over ``moments``, of which ``places`` have room.

    ``write`` puts a value into words. The scale has room for the ``bound``.
    """
    known = [value for each in series for value in each.values if value is not None]
    top = _round_up(max([bound * 1.25, *known]))
    lines = [
        Line(each.name, _points(each.values, top, places), _latest(each.values, write))
        for each in series
    ]
    return Plot(
        lines=lines,
        top=write(top),
        bound=_height(bound, top) if bound else None,
        since=moments[0] if moments else None,
        until=moments[-1] if moments else None,
        spans=_spans(moments, series, write),
    )


def _points(values: Sequence[float | None], top: float, places: int) -> list[str]:
    step = WIDTH / max(1, places - 1)
    # The latest is at the right edge, however few there are.
    left = WIDTH - step * (len(values) - 1)
    runs: list[list[str]] = [[]]
    for index, value in enumerate(values):
        if value is None:
            runs.append([])
        else:
            runs[-1].append(f"{left + index * step:.1f},{_height(value, top):.1f}")
    # One alone is drawn as a dot: a line of no length with round ends.
    return [" ".join(run * 2 if len(run) == 1 else run) for run in runs if run]


def _height(value: float, top: float) -> float:
    return HEIGHT - HEIGHT * min(value, top) / top


def _latest(values: Sequence[float | None], write: Callable[[float], str]) -> str:
    if not values or values[-1] is None:
        return "unknown"
    return write(values[-1])


def _spans(
    moments: Sequence[float], series: Sequence[Series], write: Callable[[float], str]
) -> list[Span]:
    size = max(1, -(-len(moments) // _ROWS))
    return [
        Span(
            moments[first],
            [_figures(each.values[first : first + size], write) for each in series],
        )
        for first in range(0, len(moments), size)
    ][::-1]


def _figures(values: Sequence[float | None], write: Callable[[float], str]) -> tuple[str, str]:
    known = [value for value in values if value is not None]
    return (write(median(known)), write(max(known))) if known else ("unknown", "unknown")


def _round_up(value: float) -> float:
    """Return the next number that people find round; what is next to nothing is nothing."""
    if value < _NOTHING:
        return 1.0
    scale = 1.0
    while scale * _STEPS[-1] < value:
        scale *= 10
    while scale >= value:
        scale /= 10
    return next(scale * step for step in _STEPS if scale * step >= value)
