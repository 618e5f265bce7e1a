"""What the documents on security claim is held by tests that are there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MODEL = (ROOT / "deploy" / "threat-model.md").read_text("utf-8")
_TEST = re.compile(r"`(tests/[\w/]+\.py)`")


def rows() -> list[list[str]]:
    """Return the cells of each threat, in the tables that name tests."""
    found, names_tests = [], False
    for line in MODEL.splitlines():
        if not line.startswith("|"):
            names_tests = False
        elif line.startswith("| threat |"):
            names_tests = True
        elif names_tests and not line.startswith("|---"):
            found.append([cell.strip() for cell in line.strip("|").split(" | ")])
    return found


@pytest.mark.parametrize("row", rows(), ids=lambda row: row[0][:40])
def test_every_claim_names_tests_that_exist(row: list[str]) -> None:
    threat, claim, tests = row
    files = _TEST.findall(tests)

    assert threat
    assert claim
    assert files
    for file in files:
        assert "def test_" in (ROOT / file).read_text("utf-8")


@pytest.mark.parametrize("file", ["SECURITY.md", "deploy/threat-model.md"])
def test_every_link_leads_somewhere_in_the_repository(file: str) -> None:
    here = ROOT / file
    links = re.findall(r"\]\(([^)#]+)", here.read_text("utf-8"))

    assert links
    assert [link for link in links if not (here.parent / link).exists()] == []


def test_every_setting_that_is_named_exists() -> None:
    schema = (ROOT / "config" / "sidecar.schema.json").read_text("utf-8")
    text = MODEL + (ROOT / "SECURITY.md").read_text("utf-8")
    named = set(re.findall(r"`(?:listen|accounts|keys)\.(\w+)`", text))

    assert {"max_connections", "max_staleness"} <= named
    assert {name for name in named if f'"{name}"' not in schema} == set()
