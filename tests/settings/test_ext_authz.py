"""The door for Envoy: closed until it is asked for, and beyond loopback for known callers only."""

from typing import Any

import pytest

from tests.settings.desk import GOOD, Desk, changed


def tls(desk: Desk, **more: Any) -> dict[str, Any]:
    pem = desk.write("pem", b"x")
    return {"certificate": pem, "key": pem, **more}


def test_there_is_no_door_unless_it_is_asked_for(desk: Desk) -> None:
    assert desk.load(GOOD).ext_authz is None
    opened = desk.load(changed(ext_authz={})).ext_authz
    assert opened is not None
    assert (opened.host, opened.port, opened.tls) == ("127.0.0.1", 9191, None)


def test_it_can_be_opened_by_the_environment(desk: Desk) -> None:
    opened = desk.load(GOOD, SIDECAR_EXT_AUTHZ__PORT="9292").ext_authz

    assert opened is not None
    assert opened.port == 9292


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::", "sidecar.example"])  # noqa: S104
def test_beyond_loopback_a_caller_has_to_show_a_certificate(desk: Desk, host: str) -> None:
    for section in ({}, {"tls": tls(desk)}):
        problem = desk.the_problem(changed(ext_authz={"host": host, **section}))
        assert "anybody who reaches it could ask" in problem

    desk.load(changed(ext_authz={"host": host, "tls": tls(desk, client_ca=desk.write("ca", b"x"))}))
    desk.load(changed(ext_authz={"host": host, "insecure_anybody": True}))


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_on_loopback_it_may_be_plain(desk: Desk, host: str) -> None:
    desk.load(changed(ext_authz={"host": host}))
