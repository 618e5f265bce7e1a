"""The build says of itself what it is, and the list of what is compiled is true."""

from pathlib import Path

import pytest

from sidecar.core import decision
from sidecar.core.build import BUILD

ROOT = Path(__file__).parents[2]
COMPILED = (ROOT / "deploy" / "accelerated.txt").read_text().split()


def test_the_build_is_told_by_what_is_loaded() -> None:
    suffix = Path(decision.__file__).suffix

    assert {".py": "python", ".so": "compiled"}[suffix] == BUILD


@pytest.mark.parametrize("module", COMPILED)
def test_what_is_to_be_compiled_exists(module: str) -> None:
    assert (ROOT / module).is_file()


def test_nothing_is_to_be_compiled_twice() -> None:
    assert sorted(set(COMPILED)) == COMPILED
