"""The shape of the code is kept by tests, like everything else that must hold."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCES = sorted((ROOT / "sidecar").rglob("*.py"))
MAX_FILE_LINES = 300
MAX_FUNCTION_LINES = 40

# Longer functions, each with its reason.
LONG_FUNCTIONS: dict[str, str] = {}

# Modules whose behaviour is tested elsewhere than in a file of their own name.
TESTED_ELSEWHERE = {
    "sidecar/ports.py": "Protocols and values without behaviour",
    "sidecar/__main__.py": "every end-to-end test enters through it",
}


def functions(file: Path) -> Iterator[tuple[str, int]]:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            yield node.name, node.end_lineno - node.lineno + 1


@pytest.mark.parametrize("file", SOURCES, ids=lambda file: str(file.relative_to(ROOT)))
def test_files_and_functions_stay_small(file: Path) -> None:
    assert len(file.read_text().splitlines()) <= MAX_FILE_LINES
    too_long = {
        f"{file.relative_to(ROOT)}:{name}": lines
        for name, lines in functions(file)
        if lines > MAX_FUNCTION_LINES and f"{file.relative_to(ROOT)}:{name}" not in LONG_FUNCTIONS
    }
    assert too_long == {}


@pytest.mark.parametrize("file", SOURCES, ids=lambda file: str(file.relative_to(ROOT)))
def test_every_module_has_its_test(file: Path) -> None:
    name = file.relative_to(ROOT)
    if str(name) in TESTED_ELSEWHERE or file.name == "__init__.py":
        return
    parts = name.parts[1:-1]
    assert (ROOT / "tests" / Path(*parts) / f"test_{file.name}").exists()


def test_the_repository_names_no_registry_and_no_path_of_a_machine() -> None:
    for lock in (ROOT / "lock").iterdir():
        lines = lock.read_text().splitlines()
        assert not [
            line
            for line in lines
            if line.lstrip().startswith(("-", "http")) and not line.lstrip().startswith("--hash=")
        ]
