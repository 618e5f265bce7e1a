"""The door for Envoy in a sidecar: settings reach it, and it stands beside the main one."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import grpc
import pytest

from sidecar.app.checking import problems_of
from sidecar.app.doors import doors_of
from sidecar.app.libraries import library_problems
from sidecar.app.serving import serving
from sidecar.fronts.ext_authz.health import AUTHORIZATION
from tests.app.test_parts import settings
from tests.app.test_tls import Certificates
from tests.fakes.checks import check_of, read_answer

MEMORY = {"url": "memory://"}


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    return Certificates(tmp_path, "ours")


def tls(certificates: Certificates, **changed: Any) -> dict[str, Any]:
    files = {"certificate": certificates.certificate, "key": certificates.key, **changed}
    return {name: str(file) for name, file in files.items()}


async def ask(channel: grpc.aio.Channel, target: str) -> int:
    check: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(
        f"/{AUTHORIZATION}/Check"
    )
    return read_answer(await check(check_of(target=target), timeout=10)).status


def test_its_address_is_a_door_of_its_own(tmp_path: Path, certificates: Certificates) -> None:
    plain = doors_of(settings(tmp_path, ext_authz={"port": 9292}))
    secured = doors_of(settings(tmp_path, ext_authz={"tls": tls(certificates)}))

    assert [door.name for door in doors_of(settings(tmp_path))] == ["listen"]
    assert [door.name for door in plain] == ["listen", "ext_authz"]
    assert (plain[1].port, plain[1].scheme, plain[1].binds_itself) == (9292, "grpc", True)
    assert secured[1].scheme == "grpcs"


def test_a_certificate_that_is_none_is_found_before_the_start(
    tmp_path: Path, certificates: Certificates
) -> None:
    good = settings(tmp_path, ext_authz={"tls": tls(certificates, client_ca=certificates.ca)})
    bad = settings(tmp_path, ext_authz={"tls": tls(certificates, key=certificates.certificate)})

    assert problems_of(good) == []
    assert [problem.place for problem in problems_of(bad)] == ["ext_authz.tls"]


@pytest.mark.parametrize("package", ["no_such_package", "no_such_package.of_nobody"])
def test_a_missing_package_is_named_before_the_start(tmp_path: Path, package: str) -> None:
    wanted = settings(tmp_path, ext_authz={})

    assert library_problems(wanted) == []
    [problem] = library_problems(wanted, ["grpc", package])
    assert problem.place == "ext_authz"
    assert "lock/grpc.txt" in problem.text
    assert library_problems(settings(tmp_path), [package]) == []


def test_grpc_is_not_loaded_where_nobody_wants_it() -> None:
    """It is an extra, and its threads do not go with the forks of workers."""
    program = "import sys, sidecar.cli.main, sidecar.app.process; print('grpc' in sys.modules)"

    said = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert said.stdout.strip() == "False"


async def test_it_asks_the_same_decision_as_the_main_door(tmp_path: Path) -> None:
    loaded = settings(
        tmp_path,
        listen={"host": "127.0.0.1", "port": 0},
        admin={"port": 0},
        accounts=MEMORY,
        ext_authz={"port": 0},
    )
    async with serving(loaded) as served:
        front = served._fronts[1]
        async with grpc.aio.insecure_channel(front.url.removeprefix("grpc://")) as channel:
            assert await ask(channel, "/api/healthz") == 200
            assert await ask(channel, "/api/userinfo") == 401


async def test_it_speaks_tls_with_the_files_of_the_settings(
    tmp_path: Path, certificates: Certificates
) -> None:
    loaded = settings(
        tmp_path,
        listen={"host": "127.0.0.1", "port": 0},
        admin={"port": 0},
        accounts=MEMORY,
        ext_authz={"port": 0, "tls": tls(certificates, client_ca=certificates.ca)},
    )
    credentials = grpc.ssl_channel_credentials(
        certificates.ca.read_bytes(),
        certificates.key.read_bytes(),
        certificates.certificate.read_bytes(),
    )
    async with serving(loaded) as served:
        target = served._fronts[1].url.removeprefix("grpcs://")
        options = [("grpc.ssl_target_name_override", "localhost")]
        async with grpc.aio.secure_channel(target, credentials, options=options) as channel:
            assert await ask(channel, "/api/userinfo") == 401
