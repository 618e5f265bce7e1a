"""Who asks an OAuth 2.0 endpoint, and its form (RFC 6749, 2.3 and 3.2)."""

from base64 import b64encode
from dataclasses import dataclass
from urllib.parse import quote_plus, urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.core.client_request import ClientRefused, authenticate, read_form

FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True)
class Asking:
    client_id: str
    secret: str


ALICE = Asking("alice id", "s3cret: +%&ü")
CLIENTS = [Asking("nobody", ""), ALICE]
TOKEN = ("token", "abc")
POSTED = [TOKEN, ("client_id", ALICE.client_id), ("client_secret", ALICE.secret)]


def ask(*pairs: tuple[str, str], authorization: tuple[str, ...] = ()) -> Asking:
    return authenticate(authorization, read_form(FORM, urlencode(pairs).encode()), CLIENTS)


def refusal(*pairs: tuple[str, str], authorization: tuple[str, ...] = ()) -> ClientRefused:
    with pytest.raises(ClientRefused) as caught:
        ask(*pairs, authorization=authorization)
    return caught.value


def basic(client_id: str, secret: str) -> str:
    text = f"{quote_plus(client_id)}:{quote_plus(secret)}"
    return f"Basic {b64encode(text.encode()).decode()}"


def test_a_client_authenticates_by_its_form() -> None:
    assert ask(*POSTED) == ALICE


def test_a_client_authenticates_by_basic() -> None:
    """Id and secret are form-urlencoded first (RFC 6749, 2.3.1), so a colon may be in both."""
    assert ask(TOKEN, authorization=(basic(ALICE.client_id, ALICE.secret),)) == ALICE


def test_the_schemes_name_is_case_insensitive() -> None:
    authorization = basic(ALICE.client_id, ALICE.secret).replace("Basic", "bAsIc")

    assert ask(TOKEN, authorization=(authorization,)) == ALICE


def test_the_client_id_may_be_repeated_in_the_form() -> None:
    authorization = (basic(ALICE.client_id, ALICE.secret),)

    assert ask(TOKEN, POSTED[1], authorization=authorization) == ALICE
    refused = refusal(TOKEN, ("client_id", "bob"), authorization=authorization)
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
    refused = refusal(TOKEN, authorization=(authorization,))

    assert (refused.error, refused.status) == ("invalid_client", 401)
    assert refused.headers()["WWW-Authenticate"].startswith("Basic realm=")


@pytest.mark.parametrize(
    "pairs",
    [
        [],
        [("client_id", ALICE.client_id)],
        [("client_id", ALICE.client_id), ("client_secret", "wrong")],
        [("client_id", "bob"), ("client_secret", ALICE.secret)],
        [("client_id", "nobody"), ("client_secret", "")],
    ],
)
def test_bad_credentials_in_the_form_are_a_401(pairs: list[tuple[str, str]]) -> None:
    assert refusal(TOKEN, *pairs).error == "invalid_client"


def test_two_ways_of_authentication_at_once_are_refused() -> None:
    authorization = basic(ALICE.client_id, ALICE.secret)

    assert refusal(*POSTED, authorization=(authorization,)).error == "invalid_request"
    twice = refusal(TOKEN, authorization=(authorization, authorization))
    assert twice.error == "invalid_request"


def test_a_parameter_without_a_value_is_left_out() -> None:
    assert read_form(FORM, b"a=1&b=&c") == {"a": ["1"]}


def test_a_parameter_twice_is_refused_unless_it_may_be() -> None:
    assert read_form(FORM, b"a=1&a=2", repeatable=("a",)) == {"a": ["1", "2"]}
    with pytest.raises(ClientRefused, match="more than once"):
        read_form(FORM, b"a=1&a=2")


@pytest.mark.parametrize("body", [b"\xff", b"a=%ff", b"&".join([b"a=b"] * 60)])
def test_a_body_that_cannot_be_read_is_refused(body: bytes) -> None:
    with pytest.raises(ClientRefused) as caught:
        read_form(FORM, body)
    assert (caught.value.error, caught.value.status) == ("invalid_request", 400)


def test_only_a_form_is_read() -> None:
    with pytest.raises(ClientRefused) as caught:
        read_form("application/json", b"token=abc")
    assert caught.value.error == "invalid_request"
    assert caught.value.headers() == {}


def test_not_now_says_when_to_come_again() -> None:
    """RFC 7009, 2.2.1: "the client must assume the token still exists and may retry"."""
    refused = ClientRefused("temporarily_unavailable", "the store does not answer")

    assert (refused.status, refused.headers()) == (503, {"Retry-After": "1"})
    assert refused.members() == {
        "error": "temporarily_unavailable",
        "error_description": "the store does not answer",
    }


@settings(max_examples=200)
@given(st.lists(st.text(), max_size=2), st.binary())
def test_without_the_secret_nobody_gets_in(authorization: list[str], body: bytes) -> None:
    with pytest.raises(ClientRefused):
        authenticate(authorization, read_form(FORM, body), CLIENTS)
