"""The signed identity: what has to be said for it, and what cannot be meant."""

from typing import Any

import pytest

from tests.settings.desk import GOOD, Desk, changed


def test_nothing_is_signed_by_default(desk: Desk) -> None:
    settings = desk.load(GOOD)

    assert settings.assertion is None
    assert "assertion" not in settings.identity().names


def test_an_audience_is_enough(desk: Desk) -> None:
    settings = desk.load(changed(assertion={"audience": "gateway"}))

    assert settings.assertion is not None
    assert settings.assertion.read_secret() is None
    assert settings.identity().names["assertion"] == "X-Auth-Assertion"


def test_its_header_can_be_named(desk: Desk) -> None:
    settings = desk.load(
        changed(assertion={"audience": "gateway"}, identity_headers={"assertion": "X-Signed"})
    )

    assert settings.identity().names["assertion"] == "X-Signed"


def test_a_secret_comes_from_a_file(desk: Desk) -> None:
    file = desk.write("secret", b"s" * 32 + b"\n")
    settings = desk.load(changed(assertion={"audience": "gateway", "secret_file": file}))

    assert settings.assertion is not None
    assert settings.assertion.read_secret() == b"s" * 32


@pytest.mark.parametrize(
    ("members", "says"),
    [
        ({"assertion": {}}, "assertion.audience"),
        ({"assertion": {"audience": ""}}, "assertion.audience"),
        ({"assertion": {"audience": "a", "algorithm": "HS256"}}, "assertion.algorithm"),
        ({"assertion": {"audience": "a", "lifetime": 3600}}, "assertion.lifetime"),
        ({"assertion": {"audience": "a", "rotate_every": 60}}, "assertion.rotate_every"),
        ({"assertion": {"audience": "a", "secret_file": "/nowhere"}}, "cannot be read"),
        ({"identity_headers": {"assertion": "X-Signed"}}, "nobody signs an assertion"),
    ],
)
def test_what_cannot_be_meant_is_refused(desk: Desk, members: dict[str, Any], says: str) -> None:
    assert says in desk.the_problem(changed(**members))


def test_a_short_secret_is_refused(desk: Desk) -> None:
    file = desk.write("secret", b"s" * 31 + b"\n")
    refusal = desk.the_problem(changed(assertion={"audience": "gateway", "secret_file": file}))

    assert "expected 32 characters or more" in refusal
