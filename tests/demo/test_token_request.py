"""Token requests, right and wrong, by RFC 6749."""

from base64 import b64encode
from urllib.parse import quote_plus, urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.demo.token_request import Client, TokenRefused, TokenRequest, read_token_request

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
) -> TokenRefused:
    with pytest.raises(TokenRefused) as caught:
        ask(*pairs, authorization=authorization, content_type=content_type)
    return caught.value


def basic(client_id: str, secret: str) -> str:
    text = f"{quote_plus(client_id)}:{quote_plus(secret)}"
    return f"Basic {b64encode(text.encode()).decode()}"


def test_a_client_authenticates_by_form() -> None:
    assert ask(*POSTED) == TokenRequest(ALICE, ("read", "write"), ("hoop-gateway",))


def test_a_client_authenticates_by_basic() -> None:
    """Id and secret are form-urlencoded first (RFC 6749, 2.3.1), so a colon may be in both."""
    assert ask(GRANT, authorization=(basic(ALICE.client_id, ALICE.secret),)).client == ALICE


def test_the_schemes_name_is_case_insensitive() -> None:
    authorization = basic(ALICE.client_id, ALICE.secret).replace("Basic", "bAsIc")

    assert ask(GRANT, authorization=(authorization,)).client == ALICE


def test_the_client_id_may_be_repeated_in_the_form() -> None:
    authorization = (basic(ALICE.client_id, ALICE.secret),)

    assert ask(GRANT, POSTED[1], authorization=authorization).client == ALICE
    refused = refusal(GRANT, ("client_id", "bob"), authorization=authorization)
    assert refused.error == "invalid_request"


@pytest.mark.parametrize(
    "authorization",
    [
        basic(ALICE.client_id, "wrong"),
        basic("bob", ALICE.secret),
        basic("nobody", ""),
        "Basic",
        "Basic ###",
        "Basic " + b64encode(b"no colon").decode(),
        "Basic " + b64encode(b"\xff:\xff").decode(),
        "Basic " + b64encode(b"%ff:%ff").decode(),
        "Bearer abc",
        "",
    ],
)
def test_bad_credentials_in_the_header_are_a_401_with_a_challenge(authorization: str) -> None:
    refused = refusal(GRANT, authorization=(authorization,))

    assert (refused.error, refused.status) == ("invalid_client", 401)
    assert refused.challenge()["WWW-Authenticate"].startswith("Basic realm=")


@pytest.mark.parametrize(
    "pairs",
    [
        [GRANT],
        [GRANT, ("client_id", ALICE.client_id)],
        [GRANT, ("client_id", ALICE.client_id), ("client_secret", "wrong")],
        [GRANT, ("client_id", "bob"), ("client_secret", ALICE.secret)],
        [GRANT, ("client_id", "nobody"), ("client_secret", "")],
    ],
)
def test_bad_credentials_in_the_form_are_a_401(pairs: list[tuple[str, str]]) -> None:
    assert refusal(*pairs).error == "invalid_client"


def test_two_ways_of_authentication_at_once_are_refused() -> None:
    authorization = basic(ALICE.client_id, ALICE.secret)

    assert refusal(*POSTED, authorization=(authorization,)).error == "invalid_request"
    twice = refusal(GRANT, authorization=(authorization, authorization))
    assert twice.error == "invalid_request"


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

    assert (refused.error, refused.status, refused.challenge()) == (error, 400, {})
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


def test_only_a_form_is_read() -> None:
    assert refusal(*POSTED, content_type="application/json").error == "invalid_request"


@pytest.mark.parametrize("body", [b"\xff", b"a=%ff", b"&".join([b"a=b"] * 60)])
def test_a_body_that_cannot_be_read_is_refused(body: bytes) -> None:
    with pytest.raises(TokenRefused) as caught:
        read_token_request(FORM, (), body, CLIENTS, AUDIENCES)
    assert caught.value.error == "invalid_request"


@settings(max_examples=200)
@given(st.lists(st.text(), max_size=2), st.binary())
def test_without_the_secret_nobody_gets_in(authorization: list[str], body: bytes) -> None:
    with pytest.raises(TokenRefused):
        read_token_request(FORM, authorization, body, CLIENTS, AUDIENCES)


def test_the_secret_is_not_in_the_clients_text() -> None:
    assert ALICE.secret not in repr(ALICE)
