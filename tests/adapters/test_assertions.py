"""Identity assertions: what they say, for how long, and who can have made them."""

from dataclasses import replace
from typing import Any

import pytest
from joserfc import jwt
from joserfc.errors import BadSignatureError, InvalidKeyIdError
from joserfc.jwk import KeySet

from sidecar.adapters.assertion_keys import AssertionKeys
from sidecar.adapters.assertions import TYPE, AssertionPolicy, Assertions
from sidecar.core.principal import Principal, PrincipalKind
from sidecar.core.subject import SubjectKey
from tests.fakes.clock import FakeClock

NOW = 1_700_000_000
ROBOT = Principal(
    key=SubjectKey("corp", "robot"),
    kind=PrincipalKind.SERVICE_ACCOUNT,
    issuer="https://idp.example",
    name="Röbot",
    groups=("ops", "dev,all"),
    scopes=frozenset({"b", "a"}),
    client_id="client",
    token_id="t-1",
    issued_at=NOW - 10.0,
    expires_at=NOW + 300.0,
)


class Desk:
    def __init__(self, secret: bytes = b"x" * 32, **policy: Any) -> None:
        self.clock = FakeClock(NOW)
        keys = AssertionKeys(secret, "ES256", 86400.0)
        self.assertions = Assertions(
            AssertionPolicy("sidecar", "gateway", **policy), keys, self.clock
        )

    def read(self, assertion: str) -> jwt.Token:
        keys = KeySet.import_key_set(self.assertions.published())  # type: ignore[arg-type]
        return jwt.decode(assertion, keys, algorithms=["ES256"])


def test_it_says_who_is_calling_whom_and_until_when() -> None:
    desk = Desk()
    token = desk.read(desk.assertions.assertion(ROBOT))

    assert token.header["typ"] == TYPE
    assert token.claims.pop("jti")
    assert token.claims == {
        "iss": "sidecar",
        "aud": "gateway",
        "sub": "robot",
        "iat": NOW,
        "exp": NOW + 60,
        "realm": "corp",
        "name": "Röbot",
        "groups": ["ops", "dev,all"],
        "scope": "a b",
        "client_id": "client",
        "token_issuer": "https://idp.example",
        "kind": "service_account",
    }


def test_it_is_told_again_for_half_of_its_life() -> None:
    desk = Desk(lifetime=60.0)
    first = desk.assertions.assertion(ROBOT)
    desk.clock.advance(29)
    assert desk.assertions.assertion(replace(ROBOT)) is first
    desk.clock.advance(2)
    second = desk.assertions.assertion(ROBOT)

    assert desk.read(second).claims["exp"] == NOW + 31 + 60


def test_it_does_not_outlive_the_token() -> None:
    desk = Desk()
    token = desk.read(desk.assertions.assertion(replace(ROBOT, expires_at=NOW + 7.9)))

    assert token.claims["exp"] == NOW + 7


def test_a_caller_with_other_groups_gets_another() -> None:
    desk = Desk()
    desk.assertions.assertion(ROBOT)
    token = desk.read(desk.assertions.assertion(replace(ROBOT, groups=())))

    assert token.claims["groups"] == []


def test_a_clock_that_was_put_back_makes_it_anew() -> None:
    desk = Desk()
    first = desk.assertions.assertion(ROBOT)
    desk.clock.step(-3600)

    assert desk.assertions.assertion(ROBOT) is not first


def test_what_is_remembered_is_bounded() -> None:
    desk = Desk(max_remembered=2)
    callers = [replace(ROBOT, name=str(number)) for number in range(3)]
    made = [desk.assertions.assertion(caller) for caller in callers]

    assert desk.assertions.assertion(callers[2]) is made[2]
    assert desk.assertions.assertion(callers[1]) is made[1]
    assert desk.assertions.assertion(callers[0]) is not made[0]


def test_nobody_without_the_secret_can_make_one() -> None:
    forged = Desk(secret=b"y" * 32)
    header = {"alg": "ES256", "kid": Desk().assertions.published()["keys"][1]["kid"]}
    key = AssertionKeys(b"y" * 32, "ES256", 86400.0).signing(NOW)
    with pytest.raises(BadSignatureError):
        Desk().read(jwt.encode(header, {"sub": "robot"}, key))
    with pytest.raises(InvalidKeyIdError):
        Desk().read(forged.assertions.assertion(ROBOT))
