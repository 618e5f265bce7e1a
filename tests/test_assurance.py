"""What ``docs/assurance.md`` claims is held by tests and commands that are there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "docs" / "assurance.md").read_text("utf-8")
_ROW = re.compile(r"\| ([A-Z]?\d+) \| (.*) \|")
_NAMED = re.compile(r"`((?:tests/|make )[^`]+)`")
_VERDICTS = ("met", "missed", "not measured", "**open**")
# How many there are of each letter; a bar has none.
_THREATS = {"J": 25, "K": 13, "P": 29, "R": 16, "U": 6, "O": 6, "D": 5}


def table() -> dict[str, list[str]]:
    """Return the cells of each row behind its name."""
    rows = [
        (found[1], found[2].split(" | "))
        for found in map(_ROW.fullmatch, TEXT.splitlines())
        if found
    ]
    names = [name for name, _ in rows]
    assert len(names) == len(set(names))
    return dict(rows)


ROWS = table()


def test_every_threat_and_every_bar_has_its_row() -> None:
    threats = [f"{kind}{number + 1}" for kind, most in _THREATS.items() for number in range(most)]

    assert sorted(ROWS) == sorted([*threats, *(str(number + 1) for number in range(44))])


@pytest.mark.parametrize("name", ROWS)
def test_what_a_row_names_is_there(name: str) -> None:
    named = _NAMED.findall(" | ".join(ROWS[name]))
    is_open = ROWS[name][-1] == "**open**"

    assert named or is_open
    assert [each for each in named if not is_there(each)] == []


@pytest.mark.parametrize("number", range(1, 45))
def test_a_bar_says_whether_it_is_met(number: int) -> None:
    criterion, figure, _, verdict = ROWS[str(number)]

    assert criterion
    assert verdict.startswith(_VERDICTS)
    assert (figure == "-") == (verdict == "**open**")


def is_there(named: str) -> bool:
    if named.startswith("make "):
        return bool(re.search(rf"^{named.removeprefix('make ')}:", MAKEFILE, re.MULTILINE))
    file, _, test = named.partition("::")
    if not (ROOT / file).is_file():
        return False
    return not test or bool(re.search(rf"def {test}\(", (ROOT / file).read_text("utf-8")))


MAKEFILE = (ROOT / "Makefile").read_text("utf-8")


@pytest.mark.parametrize(
    "named", ["tests/test_nothing.py", "tests/test_assurance.py::test_nothing", "make nothing"]
)
def test_what_is_not_there_is_missed(named: str) -> None:
    assert not is_there(named)
