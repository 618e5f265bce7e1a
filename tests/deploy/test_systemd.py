"""The systemd unit: systemd finds it right and closed, and it fits what the program does.

``systemd-analyze`` looks at it where it is installed.
"""

import re
import shutil
import sys
from pathlib import Path
from subprocess import CompletedProcess, run

import pytest
import typer.main

from sidecar.app.process import _SPARE_SECONDS
from sidecar.cli.main import cli
from sidecar.settings.sections import Listen

PLACE = Path(__file__).parents[2] / "deploy" / "systemd"
UNIT = PLACE / "sidecar.service"
DOCUMENT = PLACE.parents[1] / "docs" / "systemd.md"
PROGRAM = "/opt/sidecar/bin/sidecar"
# 1.5 of 10; what is left over is the network, which the sidecar is for, and its open files.
MOST_EXPOSED = 15


def entries(section: str) -> dict[str, list[str]]:
    """Return what a section of the unit sets, with all values of each name."""
    found: dict[str, list[str]] = {}
    lines = iter(UNIT.read_text().splitlines())
    for line in lines:
        if line == f"[{section}]":
            break
    for line in lines:
        if line.startswith("["):
            break
        if line and not line.startswith("#"):
            name, _, value = line.partition("=")
            found.setdefault(name, []).append(value)
    return found


def the(name: str) -> str:
    [value] = entries("Service")[name]
    return value


def analyzed(directory: Path, text: str, *arguments: str) -> CompletedProcess[str]:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed (Debian: systemd)")
    unit = directory / UNIT.name
    # It looks for the program, which is not where the unit has it.
    unit.write_text(text.replace(PROGRAM, sys.executable))
    command = ["systemd-analyze", *arguments, "--no-pager", str(unit)]
    return run(command, capture_output=True, text=True, check=False)


def verified(directory: Path, text: str) -> CompletedProcess[str]:
    return analyzed(directory, text, "verify", "--man=no")


def exposure(directory: Path, text: str) -> CompletedProcess[str]:
    return analyzed(directory, text, "security", "--offline=true", f"--threshold={MOST_EXPOSED}")


def test_systemd_finds_nothing_wrong_with_it(tmp_path: Path) -> None:
    done = verified(tmp_path, UNIT.read_text())

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_systemd_would_name_a_misspelled_setting(tmp_path: Path) -> None:
    done = verified(tmp_path, UNIT.read_text().replace("ProtectHome=", "ProtectHomes="))

    assert "ProtectHomes" in done.stderr


def test_little_of_the_machine_is_in_its_reach(tmp_path: Path) -> None:
    done = exposure(tmp_path, UNIT.read_text())

    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("setting", ["SystemCallFilter=@system-service", "CapabilityBoundingSet="])
def test_a_unit_without_one_of_its_locks_would_be_noticed(setting: str, tmp_path: Path) -> None:
    lines = [line for line in UNIT.read_text().splitlines() if line != setting]

    assert exposure(tmp_path, "\n".join(lines)).returncode != 0


def test_its_command_is_one_of_the_program() -> None:
    program, command, *arguments = the("ExecStart").split()
    commands = typer.main.get_command(cli)

    assert program == PROGRAM
    assert isinstance(commands, typer.core.TyperGroup)
    context = commands.commands[command].make_context(command, arguments)
    assert context.params == {"config": Path("/etc/sidecar/sidecar.yaml")}


def test_systemd_waits_for_the_program_as_long_as_that_takes_to_end() -> None:
    takes = Listen().drain_seconds + Listen().shutdown_seconds + _SPARE_SECONDS

    assert float(the("TimeoutStopSec")) > takes


def test_what_it_reads_is_what_is_made_when_it_is_installed() -> None:
    made = {
        line.split()[1]: line.split()[2]
        for line in (PLACE / "sidecar.tmpfiles.conf").read_text().splitlines()
        if not line.startswith("#")
    }
    name, _, credentials = the("LoadCredential").partition(":")

    # The settings are read by a user that has no name before the start; the secrets by root alone.
    assert made == {"/etc/sidecar": "0755", credentials: "0700"}
    place = f"/run/credentials/{UNIT.name}/{name}_redis"
    assert place in UNIT.read_text()
    assert f"password_file: {place}" in DOCUMENT.read_text()


def test_the_document_installs_what_is_there() -> None:
    root, document = PLACE.parents[1], DOCUMENT.read_text()
    named = set(re.findall(r"\b(?:deploy|lock|config)/[\w./-]*\w", document))

    assert {f"deploy/systemd/{file.name}" for file in PLACE.iterdir()} <= named
    assert [each for each in named if not (root / each).exists()] == []
    assert f"{(UNIT.parent / UNIT.name).relative_to(root)} /etc/systemd/system/" in document
    assert f"python3 -m venv {Path(PROGRAM).parents[1]}" in document
