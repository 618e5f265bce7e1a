"""compose.yaml: of the published form, and each name, port and command in it is one that there is.

No engine starts it here: that takes images.
"""

import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml

from sidecar import __version__
from sidecar.app.checking import problems_of
from sidecar.app.process import _SPARE_SECONDS
from sidecar.cli.main import cli
from sidecar.demo import site, surroundings
from sidecar.settings import Settings, load
from tests.deploy.cluster import environment_of_the_image

FILE = Path(__file__).parents[2] / "deploy" / "compose.yaml"
_DEFAULT = re.compile(r"\$\{\w+:-([^}]*)\}")


@pytest.fixture
def services() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(_DEFAULT.sub(r"\1", FILE.read_text()))["services"]
    return found


@pytest.fixture
def settings(services: dict[str, Any]) -> Settings:
    """Those that the sidecar loads there, the image's environment included."""
    [volume] = services["sidecar"]["volumes"]
    file, inside, mode = volume.split(":")
    assert (inside, mode) == ("/etc/sidecar/sidecar.yaml", "ro")
    environ = {**environment_of_the_image(), **services["sidecar"]["environment"]}
    return load(FILE.parent / file, environ)


def checked(file: Path) -> subprocess.CompletedProcess[str]:
    program = shutil.which("check-jsonschema", path=str(Path(sys.executable).parent))
    assert program is not None
    command = [program, "--builtin-schema", "vendor.compose-spec", str(file)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_it_has_the_published_form() -> None:
    done = checked(FILE)

    assert done.returncode == 0, done.stdout


def test_a_misspelled_entry_would_be_noticed(tmp_path: Path) -> None:
    wrong = tmp_path / "compose.yaml"
    wrong.write_text(FILE.read_text().replace("cap_drop:", "caps_drop:", 1))

    assert "caps_drop" in checked(wrong).stdout


def test_the_settings_are_ones_with_which_the_sidecar_starts(settings: Settings) -> None:
    assert problems_of(settings) == []


def test_what_is_published_is_the_door_alone(services: dict[str, Any], settings: Settings) -> None:
    published = {name: each.get("ports") for name, each in services.items()}

    assert published == {
        "sidecar": [f"127.0.0.1:{settings.listen.port}:{settings.listen.port}"],
        "demo": None,
        "valkey": None,
    }


def test_the_demo_is_where_the_settings_look_for_it(
    services: dict[str, Any], settings: Settings
) -> None:
    [issuer] = settings.issuers

    assert services["demo"]["network_mode"] == "service:sidecar"
    assert issuer.issuer == f"http://127.0.0.1:{surroundings.PROVIDER_PORT}"
    assert issuer.audiences == (site.AUDIENCE,)
    assert settings.upstream is not None
    assert settings.upstream.url == f"http://127.0.0.1:{surroundings.GATEWAY_PORT}"
    assert settings.upstream.url in services["demo"]["healthcheck"]["test"][-1]


def test_its_programs_are_there(services: dict[str, Any]) -> None:
    python, option, module = services["demo"]["entrypoint"]

    assert (python, option) == ("python", "-m")
    assert find_spec(module) is not None
    assert module == surroundings.__name__
    assert {each["image"] for each in services.values() if "sidecar" in each["image"]} == {
        f"sidecar:{__version__}"
    }


def test_each_command_in_its_head_is_one_of_the_program() -> None:
    commands = typer.main.get_command(cli)
    assert isinstance(commands, typer.core.TyperGroup)
    named = re.findall(r"python -m sidecar (\w+) (\w+) ([^#\n]*)", FILE.read_text())

    assert [(group, command) for group, command, _ in named] == [
        ("account", "create"),
        ("account", "disable"),
    ]
    for group, command, rest in named:
        found = commands.commands[group]
        assert isinstance(found, typer.core.TyperGroup)
        context = found.commands[command].make_context(command, rest.split())
        assert context.params["subject"] == site.CLIENT_ID


def test_valkey_is_reached_by_the_sidecar_and_by_nobody_else(
    services: dict[str, Any], settings: Settings
) -> None:
    networks = yaml.safe_load(FILE.read_text())["networks"]

    assert settings.accounts.url == "redis://valkey:6379/0"
    assert services["valkey"]["networks"] == ["accounts"]
    assert networks["accounts"] == {"internal": True}
    assert "accounts" in services["sidecar"]["networks"]


def test_valkey_keeps_what_it_is_told(services: dict[str, Any]) -> None:
    command = " ".join(services["valkey"]["command"])

    assert "--appendonly yes" in command
    assert "--maxmemory-policy noeviction" in command
    assert services["valkey"]["volumes"] == ["accounts:/data"]


@pytest.mark.parametrize("name", ["sidecar", "demo", "valkey"])
def test_each_container_has_no_more_than_it_needs(name: str, services: dict[str, Any]) -> None:
    service = services[name]

    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    # The image of Valkey begins as root and becomes another.
    assert service.get("cap_add", []) == (["SETGID", "SETUID"] if name == "valkey" else [])
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert {"mem_limit", "pids_limit"} <= set(service)
    assert not {"privileged", "pid", "ipc", "devices"} & set(service)


def test_a_container_is_given_the_time_that_it_takes_to_end(
    services: dict[str, Any], settings: Settings
) -> None:
    listen = settings.listen
    takes = listen.drain_seconds + listen.shutdown_seconds + _SPARE_SECONDS

    assert int(services["sidecar"]["stop_grace_period"].removesuffix("s")) >= takes + 5
