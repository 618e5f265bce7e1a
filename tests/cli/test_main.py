"""The command line as people type it."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sidecar import __version__
from sidecar.cli.main import cli
from sidecar.settings import schema

ROOT = Path(__file__).parent.parent.parent
GOOD = str(ROOT / "config" / "sidecar.minimal.yaml")


def run(*arguments: str, **environ: str) -> tuple[int, str, str]:
    result = CliRunner(env={"SIDECAR_CONFIG": None, **environ}).invoke(cli, arguments)
    return result.exit_code, result.stdout, result.stderr


def test_the_version_is_printed() -> None:
    assert run("--version") == (0, f"sidecar {__version__}\n", "")


def test_good_settings_are_said_to_be_good() -> None:
    code, out, _ = run("check-config", "--config", GOOD)

    assert code == 0
    assert "the settings are good: 1 issuer(s)" in out


def test_who_else_reaches_upstream_is_a_warning_where_it_is_asked_for() -> None:
    elsewhere = {"SIDECAR_UPSTREAM__URL": "http://gateway:8009"}

    code, out, err = run("check-config", "--probe", "--config", GOOD, **elsewhere)

    assert code == 0
    assert "warning: upstream: http://gateway:8009 is on the network" in err
    assert "the settings are good" in out
    assert run("check-config", "--config", GOOD, **elsewhere)[2] == ""


def test_that_nothing_is_enforced_is_a_loud_warning() -> None:
    code, out, err = run("check-config", "--config", GOOD, SIDECAR_SHADOW="true")

    assert code == 0
    assert "warning: shadow: NOTHING IS ENFORCED" in err
    assert "the settings are good" in out


def test_the_environment_may_name_the_file() -> None:
    assert run("check-config", SIDECAR_CONFIG=GOOD)[0] == 0


def test_bad_settings_are_all_told_and_end_with_2(tmp_path: Path) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text("workers: 0\nupstream: {}\n")

    code, out, err = run("check-config", "--config", str(file))

    assert (code, out) == (2, "")
    assert "problems" in err
    assert "workers (line 1)" in err
    assert "upstream.url (line 2): is missing" in err


@pytest.mark.parametrize("command", [("run",), ("account", "list"), ("explain", "GET /")])
def test_no_command_runs_on_bad_settings(tmp_path: Path, command: tuple[str, ...]) -> None:
    code, _, err = run(*command, "--config", str(tmp_path / "nowhere.yaml"))

    assert code == 2
    assert "cannot be read" in err


def test_the_schema_is_the_one_beside_the_examples() -> None:
    code, out, _ = run("schema")

    assert code == 0
    assert json.loads(out) == schema()
    assert (ROOT / "config" / "sidecar.schema.json").read_text() == out


def test_an_address_that_is_not_ours_ends_with_3() -> None:
    code, _, err = run(
        *("run", "--config", GOOD), SIDECAR_LISTEN__HOST="192.0.2.1", SIDECAR_ADMIN__PORT="0"
    )

    assert code == 3
    assert "cannot start" in err


def test_a_certificate_that_is_none_is_found_before_anything_starts(tmp_path: Path) -> None:
    junk = tmp_path / "junk.pem"
    junk.write_text("junk")
    environ = {
        "SIDECAR_LISTEN__TLS__CERTIFICATE": str(junk),
        "SIDECAR_LISTEN__TLS__KEY": str(junk),
    }
    for command in ("check-config", "run"):
        code, _, err = run(command, "--config", GOOD, **environ)

        assert code == 2
        assert "listen.tls" in err
        assert "junk.pem" in err


def test_without_a_command_help_is_printed() -> None:
    code, out, err = run()

    assert code == 2
    assert "check-config" in out + err
