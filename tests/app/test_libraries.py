import os
import subprocess
import sys
from pathlib import Path

from sidecar.app.libraries import is_installed, library_problems
from sidecar.settings import load

CONFIG = Path(__file__).parent.parent.parent / "config" / "sidecar.minimal.yaml"


def test_the_libraries_of_the_lock_are_fit() -> None:
    assert library_problems(load(CONFIG, {})) == []


def test_without_its_c_parser_aiohttp_is_refused_at_start() -> None:
    """CVE-2026-111750: the pure Python parser."""
    ended = subprocess.run(
        [sys.executable, "-m", "sidecar", "check-config", "--config", str(CONFIG)],
        env={**os.environ, "AIOHTTP_NO_EXTENSIONS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert ended.returncode == 2
    assert "C parser" in ended.stderr


def test_an_extra_that_is_not_installed_is_seen() -> None:
    assert is_installed("grpc")
    assert not is_installed("no_such_package")
