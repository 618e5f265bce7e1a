"""What the sidecar is made of: locked by hash, above the floors of known advisories."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LOCKS = sorted((ROOT / "lock").glob("*.txt"))
TOOLS = {"pip-audit", "cyclonedx-bom", "pip-licenses"}
# The first versions without an advisory that concerns us.
FLOORS = {
    "aiohttp": (3, 14, 3),  # CVE-2026-69244: a heap read out of bounds in the parser of answers
    "joserfc": (1, 7, 4),  # GHSA-5jhw-7jv7-qcqq: one token, several spellings
    "cryptography": (50,),  # CVE-2026-69247
    "redis": (4, 5, 4),  # CVE-2023-28859: the answer to another's question
}


def locked(lock: Path) -> dict[str, list[str]]:
    """Return the lines of each package, by ``name==version``."""
    packages: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in lock.read_text("utf-8").splitlines():
        if not line.startswith((" ", "#")):
            lines = packages.setdefault(line.split(" ")[0], [])
        else:
            lines.append(line)
    return packages


def version(lock: str, package: str) -> tuple[int, ...]:
    text = (ROOT / "lock" / f"{lock}.txt").read_text("utf-8")
    found = re.search(rf"^{package}(?:\[.*\])?==([0-9.]+)", text, re.MULTILINE)
    assert found is not None
    return tuple(int(part) for part in found[1].rstrip(".").split("."))


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.stem)
def test_every_package_is_locked_by_its_hash(lock: Path) -> None:
    packages = locked(lock)

    assert packages
    assert [name for name in packages if not re.fullmatch(r"[\w.\[\]-]+==[\w.]+", name)] == []
    assert [
        name for name, lines in packages.items() if "--hash=sha256:" not in "".join(lines)
    ] == []


@pytest.mark.parametrize("package", FLOORS)
@pytest.mark.parametrize("lock", ["run", "demo", "grpc", "dev"])
def test_nothing_is_older_than_the_end_of_an_advisory(lock: str, package: str) -> None:
    assert version(lock, package) >= FLOORS[package]


@pytest.mark.parametrize("shipped", ["run", "demo", "grpc"])
def test_what_is_audited_is_what_is_shipped(shipped: str) -> None:
    audited = set(locked(ROOT / "lock" / "audit.txt"))

    assert set(locked(ROOT / "lock" / f"{shipped}.txt")) <= audited


def test_the_tools_that_audit_are_in_no_other_lock() -> None:
    others = {
        name.split("==")[0] for lock in LOCKS if lock.stem != "audit" for name in locked(lock)
    }
    audit = {name.split("==")[0] for name in locked(ROOT / "lock" / "audit.txt")}

    assert audit >= TOOLS
    assert not others & TOOLS


def test_only_named_licences_are_allowed() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    allowed = project["tool"]["pip-licenses"]["allow-only"].lower()

    assert not [word for word in ("gpl", "agpl", "sspl", "unknown", "busl") if word in allowed]
