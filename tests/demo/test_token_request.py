"""Token requests, right and wrong, by RFC 6749."""

from urllib.parse import urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.core.client_request import ClientRefused
from sidecar.demo.token_request import Client, TokenRequest, read_token_request

FORM = "application/x-www-form-urlencoded"
ALICE = Client("alice id", "s3cret: +%&ü", "alice", ("read", "write"))
CLIENTS = [Client("nobody", "", "nobody"), ALICE]
AUDIENCES = ("hoop-gateway", "https://api.example")
GRANT = ("grant_type", "client_credentials")
POSTED = [GRANT, ("client_id", ALICE.client_id), ("client_secret", ALICE.secret)]


def ask(
    *pairs: tuple[str, str], authorization: tuple[str, ...] = (), content_type: str = FORM
) -> TokenRequest:
    body = urlencode(pairs).encode()
    return read_token_request(content_type, authorization, body, CLIENTS, AUDIENCES)


def refusal(
    *pairs: tuple[str, str], authorization: tuple[str, ...] = (), content_type: str = FORM
) -> ClientRefused:
    with pytest.raises(ClientRefused) as caught:
        ask(*pairs, authorization=authorization, content_type=content_type)
    return caught.value


def test_a_client_authenticates_by_form() -> None:
    assert ask(*POSTED) == TokenRequest(ALICE, ("read", "write"), ("hoop-gateway",))


@pytest.mark.parametrize(
    ("grant_type", "error"),
    [
        ("", "invalid_request"),
        ("password", "unsupported_grant_type"),
        ("authorization_code", "unsupported_grant_type"),
        ("Client_Credentials", "unsupported_grant_type"),
    ],
)
def test_there_is_no_other_grant(grant_type: str, error: str) -> None:
    refused = refusal(("grant_type", grant_type), *POSTED[1:])

    assert (refused.error, refused.status, refused.headers()) == (error, 400, {})
    assert refused.members() == {"error": error, "error_description": refused.description}


def test_fewer_scopes_can_be_asked_for_and_never_more() -> None:
    assert ask(*POSTED, ("scope", "write write")).scopes == ("write",)
    assert ask(*POSTED, ("scope", "")).scopes == ("read", "write")
    assert refusal(*POSTED, ("scope", "read admin")).error == "invalid_scope"


@pytest.mark.parametrize("name", ["audience", "resource"])
def test_an_audience_can_be_named(name: str) -> None:
    assert ask(*POSTED, (name, "https://api.example")).audiences == ("https://api.example",)


def test_several_audiences_can_be_named() -> None:
    asked = ask(*POSTED, ("resource", AUDIENCES[1]), ("audience", AUDIENCES[0]))

    assert set(asked.audiences) == set(AUDIENCES)


def test_an_audience_that_is_not_ours_is_refused() -> None:
    refused = refusal(*POSTED, ("resource", AUDIENCES[1]), ("resource", "https://other.example"))

    assert (refused.error, refused.status) == ("invalid_target", 400)


def test_a_parameter_twice_is_refused() -> None:
    assert refusal(*POSTED, ("scope", "read"), ("scope", "write")).error == "invalid_request"


def test_parameters_that_nobody_knows_are_ignored() -> None:
    assert ask(*POSTED, ("colour", "blue")).client == ALICE


@settings(max_examples=200)
@given(st.lists(st.text(), max_size=2), st.binary())
def test_without_the_secret_nobody_gets_in(authorization: list[str], body: bytes) -> None:
    with pytest.raises(ClientRefused):
        read_token_request(FORM, authorization, body, CLIENTS, AUDIENCES)


def test_the_secret_is_not_in_the_clients_text() -> None:
    assert ALICE.secret not in repr(ALICE)
