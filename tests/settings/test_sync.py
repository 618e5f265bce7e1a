"""Keeping in step with the gateway: how to sign in there, and how far to believe it."""

from typing import Any

import pytest

from sidecar.settings.sync import Sync
from tests.settings.desk import GOOD, Desk, changed

TWO_REALMS = [
    {"issuer": f"https://{realm}.example/", "realm": realm, "audiences": ["api"]}
    for realm in ("corp", "partners")
]


def load(desk: Desk, **members: Any) -> Sync:
    found = desk.load(changed(sync={"token_file": desk.write("token", b"t\n"), **members})).sync
    assert found is not None
    return found


def test_nothing_is_synced_by_default(desk: Desk) -> None:
    assert desk.load(GOOD).sync is None


def test_a_token_is_enough_and_the_only_realm_is_meant(desk: Desk) -> None:
    sync = load(desk)

    assert (sync.every, sync.realm, sync.reenable) == (60.0, "default", False)
    assert (sync.disable_vanished, sync.max_disabled_share) == (True, 0.5)
    assert sync.read_credential() == "t"
    assert sync.token_parameters() == {}


def test_an_api_key_or_client_credentials_do_as_well(desk: Desk) -> None:
    secret = desk.write("secret", b"s\n")
    client = {"token_url": "https://idp/token", "client_id": "me", "secret_file": secret}

    assert load(desk, token_file=None, api_key_file=secret).read_credential() == "s"
    sync = load(desk, token_file=None, **client, scope="read", audience="hoop")
    assert sync.read_credential() == "s"
    assert sync.token_parameters() == {"scope": "read", "audience": "hoop"}


def test_a_token_endpoint_without_tls_has_to_be_asked_for(desk: Desk) -> None:
    secret = desk.write("secret", b"s\n")
    client = {"token_url": "http://idp/token", "client_id": "me", "secret_file": secret}

    assert "begins with https://" in desk.the_problem(changed(sync=client))
    assert load(desk, token_file=None, **client, insecure_http=True).token_url


@pytest.mark.parametrize(
    ("members", "says"),
    [
        ({}, "there is none of token_file, api_key_file and token_url"),
        ({"token_file": "{}", "api_key_file": "{}"}, "token_file and api_key_file of"),
        ({"token_file": "/nowhere"}, "cannot be read"),
        ({"token_file": "{}", "client_id": "me"}, "belong together"),
        ({"token_url": "https://idp/t", "client_id": "me"}, "belong together"),
        ({"token_url": "https://idp/t", "secret_file": "{}"}, "belong together"),
        ({"token_file": "{}", "every": 0}, "sync.every"),
        ({"token_file": "{}", "max_disabled_share": 1.5}, "sync.max_disabled_share"),
        ({"token_file": "{}", "gateway_url": "gateway:8009"}, "expected a URL"),
        ({"token_file": "{}", "gateway_url": "http://me:pw@gateway"}, "nothing else"),
        ({"token_file": "{}", "realm": "another"}, "one of default"),
    ],
)
def test_what_cannot_be_meant_is_refused(desk: Desk, members: dict[str, Any], says: str) -> None:
    file = desk.write("file", b"x\n")
    named = {name: file if value == "{}" else value for name, value in members.items()}

    assert says in desk.the_problem(changed(sync=named))


def test_with_several_realms_one_has_to_be_named(desk: Desk) -> None:
    token = {"token_file": desk.write("token", b"t")}

    assert "one of corp, partners" in desk.the_problem(changed(issuers=TWO_REALMS, sync=token))
    found = desk.load(changed(issuers=TWO_REALMS, sync={**token, "realm": "corp"}))
    assert found.sync is not None
    assert found.sync.realm == "corp"


def test_without_an_upstream_the_gateway_has_to_be_named(desk: Desk) -> None:
    door = {name: value for name, value in GOOD.items() if name != "upstream"}
    asked: dict[str, Any] = {**door, "forward_auth": {"dialect": "nginx"}}
    token = {"token_file": desk.write("token", b"t")}

    assert "sync.gateway_url is missing" in desk.the_problem({**asked, "sync": token})
    found = desk.load({**asked, "sync": {**token, "gateway_url": "http://gateway:8009"}})
    assert found.sync is not None


def test_the_environment_can_say_it_too(desk: Desk) -> None:
    token = desk.write("token", b"t")
    found = desk.load(GOOD, SIDECAR_SYNC__TOKEN_FILE=token, SIDECAR_SYNC__REENABLE="true")

    assert found.sync is not None
    assert found.sync.reenable
