"""Which requests change the gateway's accounts, and how its own code reads them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.gateway_change import GatewayChange, read_change, read_outcome, shut_out_by
from sidecar.core.subject import AccountStatus
from sidecar.core.wanted_accounts import NotAccounts, WantedAccount

POST = GatewayChange(None)
PUT = GatewayChange("api-user")


@pytest.mark.parametrize(
    ("method", "path", "change"),
    [
        ("POST", "/api/serviceaccounts", POST),
        ("PUT", "/api/serviceaccounts/api-user", PUT),
        ("PUT", "/api/serviceaccounts/auth0%7Cabc", GatewayChange("auth0|abc")),
        ("PUT", "/api/%73erviceaccounts/api%2Duser", PUT),  # decoded before it is routed
        ("POST", "/%61pi/serviceaccount%73", POST),
        ("PUT", "/api/serviceaccounts/a%2Fb", None),  # no route of the gateway's
        ("PUT", "/api/serviceaccounts/a/b", None),
        ("PUT", "/api/serviceaccounts/", None),
        ("PUT", "/api/serviceaccounts", None),
        ("PUT", "/api/serviceaccountsx", None),
        ("POST", "/api/serviceaccounts/", None),  # redirected
        ("POST", "/api/serviceaccounts/api-user", None),
        ("GET", "/api/serviceaccounts", None),
        ("PATCH", "/api/serviceaccounts/api-user", None),
        ("PUT", "/x/api/serviceaccounts/api-user", None),
        ("POST", "/", None),
    ],
)
def test_an_account_is_made_by_post_and_changed_by_put(
    method: str, path: str, change: GatewayChange | None
) -> None:
    assert read_change(method, path) == change


def test_the_gateway_may_be_under_a_path() -> None:
    assert read_change("POST", "/hoop/api/serviceaccounts", "/hoop") == POST
    assert read_change("POST", "/api/serviceaccounts", "/hoop") is None


@pytest.mark.parametrize(
    ("change", "body", "subject"),
    [
        (PUT, b'{"subject": "other", "status": "inactive"}', "api-user"),  # the path decides
        (POST, b'{"subject": "api-user", "status": "inactive"}', "api-user"),
        (POST, b'{"Subject": "api-user", "STATUS": "inactive"}', "api-user"),
        (PUT, b'{"status": "active", "status": "inactive"}', "api-user"),
        (PUT, b'{"status": "inactive", "Status": "active"}', None),
        (PUT, b'{"status": "active"}', None),
        (PUT, b'{"status": null}', None),
        (PUT, b'{"status": "inactive", "status": null}', "api-user"),
        (PUT, b'{"status": "inactive", "name": "\xff"}', "api-user"),
        (PUT, b' \n{"status": "inactive"} and more', "api-user"),
        (PUT, b"{}", None),
        (PUT, b"[1]", None),
        (PUT, b"\xff", None),
        (PUT, b"[" * 100_000, None),
        (POST, b'{"subject": 7, "status": "inactive"}', None),
    ],
)
def test_whom_a_body_shuts_out_is_read_as_the_gateway_does(
    change: GatewayChange, body: bytes, subject: str | None
) -> None:
    assert shut_out_by(change, body) == subject


@given(body=st.binary(max_size=200))
def test_no_body_breaks_the_reading(body: bytes) -> None:
    assert shut_out_by(PUT, body) in (None, "api-user")


def test_the_gateways_answer_says_how_the_account_is() -> None:
    answer = b'{"id": "x", "subject": "a/b", "name": "N", "status": "inactive", "groups": null}'

    assert read_outcome(POST, answer) == WantedAccount("a/b", "N", (), AccountStatus.INACTIVE)
    assert read_outcome(PUT, answer).subject == "api-user"


@pytest.mark.parametrize("answer", [b"", b"{}", b"null", b"[]", b'{"subject": "a"}', b"\xff"])
def test_another_answer_is_no_account(answer: bytes) -> None:
    with pytest.raises(NotAccounts):
        read_outcome(POST, answer)
