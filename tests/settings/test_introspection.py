"""Introspection is asked for without a doubt: who asks, how, and whose tokens."""

from typing import Any

import pytest

from sidecar.core.issuer import Introspected, IntrospectionRules
from sidecar.settings.introspection import Introspection
from tests.settings.desk import Desk, changed, issuer


@pytest.fixture
def secret(desk: Desk) -> str:
    return desk.write("secret", b"our secret\n")


def asked(secret: str, **members: Any) -> dict[str, Any]:
    found = {"client_id": "us", "secret_file": secret, **members}
    return issuer(introspection={name: value for name, value in found.items() if value is not None})


def test_little_has_to_be_said(desk: Desk, secret: str) -> None:
    settings = desk.load(asked(secret))

    found = settings.issuers[0].introspection
    assert found is not None
    assert (found.authentication, found.cache, found.inactive_cache) == (
        "client_secret_basic", 30.0, 5.0,
    )  # fmt: skip
    assert found.rules() == IntrospectionRules(Introspected.OPAQUE, "", "sub")
    assert settings.issuer_rules()["https://idp.example/"].introspection == found.rules()


def test_without_it_an_issuer_is_asked_nothing(desk: Desk) -> None:
    assert desk.load(issuer()).issuer_rules()["https://idp.example/"].introspection is None


@pytest.mark.parametrize(
    ("members", "says"),
    [
        ({"secret_file": None}, "is missing; client_secret_basic needs it"),
        ({"authentication": "private_key_jwt"}, "has no effect with private_key_jwt"),
        ({"authentication": "none"}, "'client_secret_basic', 'client_secret_post'"),
        ({"certificate_key": "{secret}"}, "has no effect with client_secret_basic; leave it out"),
        ({"key_id": "a"}, "has no effect with client_secret_basic; leave it out"),
        ({"assertion_audience": "a"}, "has no effect with client_secret_basic; leave it out"),
        ({"key_file": "{secret}"}, "has no effect with client_secret_basic; leave it out"),
        ({"url": "http://idp.example/introspect"}, "set insecure_http: true for this issuer"),
        ({"url": "ftp://idp.example/"}, "begins with https://"),
        ({"url": "https://user@idp.example/"}, "without user"),
        ({"client_id": ""}, "client_id"),
        ({"client_id": "a\nb"}, "client_id"),
        ({"tokens": "some"}, "'opaque', 'opaque_only' or 'all'"),
        ({"prefix": "ory at"}, "prefix"),
        ({"cache": -1}, "greater than or equal to 0"),
        ({"cache": 3601}, "less than or equal to 3600"),
        ({"timeout": 0}, "greater than 0"),
        ({"algorithm": "HS256"}, "'RS256'"),
        ({"secret_file": "/nowhere"}, "cannot be read"),
        ({"redirects": True}, "is no setting"),
    ],
)
def test_what_is_wrong_is_said_with_its_place_and_the_remedy(
    desk: Desk, secret: str, members: dict[str, Any], says: str
) -> None:
    members = {name: secret if value == "{secret}" else value for name, value in members.items()}

    problems = desk.problems(asked(secret, **members))

    assert any(says in problem for problem in problems), problems
    assert all("issuers[0].introspection" in problem for problem in problems)


def test_an_empty_secret_is_found_at_the_start(desk: Desk) -> None:
    assert "1 to 4096 bytes" in desk.the_problem(asked(desk.write("empty", b"\n")))


@pytest.mark.parametrize(
    ("way", "needs"), [("private_key_jwt", "key_file"), ("tls_client_auth", "certificate")]
)
def test_each_way_needs_its_own(desk: Desk, secret: str, way: str, needs: str) -> None:
    members = {"client_id": "us", "authentication": way}
    problem = desk.the_problem(issuer(introspection=members))
    assert f"introspection.{needs} (line 6): is missing; {way} needs it" in problem

    found = desk.load(issuer(introspection={**members, needs: secret})).issuers[0].introspection
    assert found is not None
    assert found.authentication == way


def two(secret: str, *prefixes: str | None) -> dict[str, Any]:
    return changed(
        issuers=[
            {
                "issuer": f"https://idp{number}.example/",
                "audiences": ["api"],
                "introspection": {
                    "client_id": "us",
                    "secret_file": secret,
                    **({} if prefix is None else {"prefix": prefix}),
                },
            }
            for number, prefix in enumerate(prefixes)
        ]
    )


def test_whose_an_opaque_token_is_must_be_certain(desk: Desk, secret: str) -> None:
    either = desk.the_problem(two(secret, None, None))
    assert "issuers[0] and issuers[1] both take opaque tokens of any form" in either
    assert "an introspection.prefix of its own" in either
    same = desk.the_problem(two(secret, "a_", "b_", "a_"))
    assert "issuers[0] and issuers[2] both take opaque tokens that begin with 'a_'" in same
    assert len(desk.load(two(secret, None, "a_", "a_b")).issuers) == 3


def test_no_secret_is_ever_printed(desk: Desk, secret: str) -> None:
    found = desk.load(asked(secret)).issuers[0].introspection
    assert isinstance(found, Introspection)
    assert "our secret" not in repr(found)
