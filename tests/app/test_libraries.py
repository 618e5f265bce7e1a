import os
import subprocess
import sys
from pathlib import Path

from sidecar.app.libraries import library_problems
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


WITHOUT_EXTRAS = """
import sys

sys.modules["grpc"] = sys.modules["opentelemetry"] = None
import sidecar.app.process  # all that a sidecar without them is made of
from sidecar.cli.main import main

main()
"""


def test_without_the_extra_only_what_needs_it_is_refused(tmp_path: Path) -> None:
    def check(settings: Path) -> str:
        ended = subprocess.run(
            [sys.executable, "-c", WITHOUT_EXTRAS, "check-config", "--config", str(settings)],
            capture_output=True,
            text=True,
            check=False,
        )
        return f"{ended.returncode} {ended.stdout}{ended.stderr}"

    with_extras = tmp_path / "sidecar.yaml"
    with_extras.write_text(
        CONFIG.read_text()
        + "grpc: {upstream: {url: 'grpc://127.0.0.1:8010'}}\n"
        + "tracing: {endpoint: 'http://127.0.0.1:4318/v1/traces'}\n"
    )

    assert check(CONFIG).startswith("0 ")
    said = check(with_extras)
    assert said.startswith("2 ")
    assert "install lock/grpc.txt" in said
    assert "install lock/tracing.txt" in said


def test_a_tracing_library_that_another_package_has_overwritten_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "sidecar.yaml"
    file.write_text(CONFIG.read_text() + "tracing: {endpoint: 'http://127.0.0.1:4318/v1/traces'}\n")
    settings = load(file, {})

    assert library_problems(settings) == []
    [problem] = library_problems(settings, exporter="opentelemetry.no_such_exporter")
    assert "install it again" in problem.text
