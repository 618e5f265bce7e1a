"""The admin listener, and who may revoke there."""

from typing import Any

import pytest

from tests.settings.desk import GOOD, Desk, changed

SECRET = "hunter2-hunter2-hunter2"


def revoking(*clients: dict[str, Any], **admin: Any) -> dict[str, Any]:
    return changed(admin={"revocation_clients": list(clients), **admin})


def test_nobody_revokes_by_default(desk: Desk) -> None:
    assert desk.load(GOOD).admin.revocation_clients == ()


def test_a_secret_comes_from_a_file_or_from_the_settings(desk: Desk) -> None:
    def read(**members: Any) -> str:
        settings = desk.load(revoking({"client_id": "soc", **members}))
        return settings.admin.revocation_clients[0].read_secret()

    assert read(secret=SECRET) == SECRET
    assert read(secret_file=desk.write("a", f" {SECRET} \r\n".encode())) == f" {SECRET} "


@pytest.mark.parametrize("secret", ["[hunter2-hunter2", "hunter2,hunter2,hunter2", "0" * 16])
def test_a_secret_from_the_environment_is_always_text(desk: Desk, secret: str) -> None:
    settings = desk.load(
        GOOD,
        SIDECAR_ADMIN__REVOCATION_CLIENTS__0__CLIENT_ID="soc",
        SIDECAR_ADMIN__REVOCATION_CLIENTS__0__SECRET=secret,
    )

    assert settings.admin.revocation_clients[0].read_secret() == secret


@pytest.mark.parametrize(
    ("members", "says"),
    [
        ({}, "secret_file (line 4): is missing, and so is secret"),
        ({"secret": None}, "is missing, and so is secret"),
        ({"secret": SECRET[:15]}, "expected 16 characters at least"),
        ({"client_id": ""}, "client_id"),
        ({"client_id": "bell\x07", "secret": SECRET}, "client_id"),
        ({"secret": SECRET, "secret_file": "/nowhere"}, "cannot be read"),
    ],
)
def test_a_client_needs_a_name_and_one_good_secret(
    desk: Desk, members: dict[str, Any], says: str
) -> None:
    said = "\n".join(desk.problems(revoking({"client_id": "soc", **members})))

    assert says in said
    assert "hunter2" not in said


def test_a_secret_in_a_file_is_judged_too(desk: Desk) -> None:
    short = desk.write("short", SECRET[:15].encode())
    assert "16 characters" in desk.the_problem(revoking({"client_id": "soc", "secret_file": short}))
    both = {"secret": SECRET, "secret_file": desk.write("long", SECRET.encode())}
    assert "keep one of them" in desk.the_problem(revoking({"client_id": "soc", **both}))


def test_two_clients_of_one_name_are_refused(desk: Desk) -> None:
    client = {"client_id": "soc", "secret": SECRET}

    assert "'soc' is there twice" in desk.the_problem(revoking(client, client))


@pytest.mark.parametrize(
    ("host", "is_danger"),
    [
        ("127.0.0.1", False),
        ("127.1.2.3", False),
        ("::1", False),
        ("localhost", False),
        ("0.0.0.0", True),  # noqa: S104 - it is refused
        ("::", True),
        ("10.0.0.1", True),
        ("sidecar.example", True),
    ],
)
def test_secrets_pass_no_network_unencrypted_unless_told(
    desk: Desk, host: str, *, is_danger: bool
) -> None:
    client = {"client_id": "soc", "secret": SECRET}
    if is_danger:
        problem = desk.the_problem(revoking(client, host=host))
        assert "(or set admin.insecure_http: true)" in problem
    else:
        desk.load(revoking(client, host=host))
    desk.load(revoking(client, host=host, insecure_http=True))
    desk.load(changed(admin={"host": host}))


def signing_in(**admin: Any) -> dict[str, Any]:
    return changed(admin=admin)


def test_nobody_uses_the_api_by_default(desk: Desk) -> None:
    admin = desk.load(GOOD).admin

    assert not admin.has_api
    assert admin.groups == ("admin",)
    assert admin.read_secret() is None


def test_each_way_to_sign_in_opens_the_api(desk: Desk) -> None:
    certificate = desk.write("a.pem", b"x")
    tls = {"certificate": certificate, "key": certificate}
    secret_file = desk.write("secret", f"{SECRET}\n".encode())

    assert desk.load(signing_in(tokens=True)).admin.has_api
    assert desk.load(signing_in(secret_file=secret_file)).admin.read_secret() == SECRET
    assert desk.load(signing_in(secret_file=secret_file)).admin.has_api
    assert desk.load(signing_in(tls={**tls, "client_ca": certificate})).admin.has_api
    assert not desk.load(signing_in(tls=tls)).admin.has_api


def test_a_short_secret_and_groups_of_nobody_are_refused(desk: Desk) -> None:
    short = desk.write("short", SECRET[:15].encode())
    assert "16 characters" in desk.the_problem(signing_in(secret_file=short))
    assert "admin.groups" in desk.the_problem(signing_in(tokens=True, groups=[]))


@pytest.mark.parametrize("way", ["tokens", "secret_file"])
def test_nobody_signs_in_over_a_network_unencrypted_unless_told(desk: Desk, way: str) -> None:
    certificate = desk.write("a.pem", b"x")
    ways = {"tokens": True, "secret_file": desk.write("secret", SECRET.encode())}
    admin = {"host": "10.0.0.1", way: ways[way]}

    assert "(or set admin.insecure_http: true)" in desk.the_problem(signing_in(**admin))
    desk.load(signing_in(**admin, insecure_http=True))
    desk.load(signing_in(**admin, tls={"certificate": certificate, "key": certificate}))
    desk.load(signing_in(**{**admin, "host": "::1"}))


def test_settings_that_are_printed_show_no_secret(desk: Desk) -> None:
    assert "hunter2" not in repr(desk.load(revoking({"client_id": "soc", "secret": SECRET})))
