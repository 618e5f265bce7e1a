"""The table that a run of the chaos tests prints at its end."""

from dataclasses import astuple, dataclass

import pytest

NAMES = (
    "fault", "requests", "granted", "401", "503", "last grant ms", "stream cut ms", "back ms",
    "slowest ms",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Figures:
    """What one trial showed.

    ``last_grant`` is how long after the write the inactive subject was still granted something,
    ``cut`` how long its event stream went on, ``recovery`` how long after Redis was back the active
    one was granted again: milliseconds, as is ``slowest``, the slowest answer of all.
    """

    fault: str
    requests: int
    granted: int
    refused: int
    unavailable: int
    last_grant: float
    cut: float
    recovery: float
    slowest: float


FIGURES = pytest.StashKey[list[Figures]]()


def table(rows: list[Figures]) -> list[str]:
    """Return the lines to print."""
    cells = [
        [f"{cell:.0f}" if isinstance(cell, float) else str(cell) for cell in astuple(row)]
        for row in rows
    ]
    widths = [max(map(len, column)) for column in zip(NAMES, *cells, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if at else cell.ljust(width)
            for at, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in (NAMES, *cells)
    ]
