"""What an introspection endpoint answers is judged, and never more than it says."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.bearer import BearerToken
from sidecar.core.claims import read_claims
from sidecar.core.decision import Denied, DenyReason
from sidecar.core.introspection import (
    IntrospectedToken,
    NoAnswer,
    check_active,
    check_still_active,
    is_opaque,
    issuer_of,
    read_answer,
)
from sidecar.core.issuer import Introspected, IntrospectionRules, Issuer
from tests.fakes.tokens import rsa_key, seal
from tests.fakes.world import ISSUER

ASKED = Issuer(ISSUER, introspection=IntrospectionRules())
GOOD = {"active": True, "sub": "robot", "exp": 1_700_000_300, "aud": "api"}


def refusal(answer: dict[str, Any] | None, issuer: Issuer = ASKED) -> Denied:
    with pytest.raises(Denied) as denied:
        check_active(answer, issuer)
    return denied.value


@pytest.mark.parametrize(
    "token", ["abc", "ory_at_x.y", "a.b.c", "2YotnFZFEjr1zCsicMWpAA", "a.", ".a", "=.a.b", "~.~.~"]
)
def test_what_is_no_jwt_is_opaque(token: str) -> None:
    assert is_opaque(BearerToken(token))


def test_a_jwt_is_never_opaque_however_broken_or_encrypted() -> None:
    """Else another issuer's token could be had sent to the one that takes opaque tokens."""
    token = seal({"alg": "RS256"}, {"iss": ISSUER}, rsa_key())
    for text in (token, token[:-9], token.rpartition(".")[0], f"{token}.x.y", "ew0K.x.y", "IHsK.x"):
        assert not is_opaque(BearerToken(text)), text


def test_the_longest_prefix_says_whose_an_opaque_token_is() -> None:
    anyones = Issuer("any", introspection=IntrospectionRules())
    ory = Issuer("ory", introspection=IntrospectionRules(prefix="ory_at_"))
    other = Issuer("other", introspection=IntrospectionRules(prefix="ory_at_x"))
    for issuers in ((anyones, ory, other), (other, ory, anyones)):
        found = [issuer_of(BearerToken(each), issuers) for each in ("abc", "ory_at_1", "ory_at_x1")]
        assert found == [anyones, ory, other]
    assert issuer_of(BearerToken("abc"), (ory, Issuer("asked for nothing"))) is None


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"[]",
        b"true",
        b"<html>",
        b"{}",
        b'{"active": "true"}',
        b'{"active": 1}',
        b'{"active": null}',
        b'{"active": false, "active": true}',
        b'{"active": true, "sub": "a", "sub": "b"}',
        b'{"active": true, "exp": NaN}',
        b'\xef\xbb\xbf{"active": true}',
        b'{"active": true, "a": ' + b"[" * 40_000 + b"]" * 40_000 + b"}",
        b'{"active": true, "exp": ' + b"9" * 5000 + b"}",
    ],
)
def test_what_is_no_strict_answer_is_none(document: bytes) -> None:
    with pytest.raises(NoAnswer):
        read_answer(document)


def test_an_answer_is_active_or_it_is_not() -> None:
    assert read_answer(json.dumps(GOOD).encode()) == GOOD
    assert read_answer(b'{"active": false, "sub": "robot"}') is None


@given(st.binary(max_size=400))
def test_no_octets_are_taken_for_an_active_token(document: bytes) -> None:
    with suppress(NoAnswer):
        assert read_answer(document) is None


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)
_NAMES = st.sampled_from(["sub", "exp", "aud", "iss", "scope", "jti", "token_type", "typ", "nbf"])


@given(st.dictionaries(_NAMES, _JSON))
def test_a_hostile_answer_is_refused_and_never_a_surprise(members: dict[str, Any]) -> None:
    """Whatever it holds: claims of a sound shape, or Denied."""
    with suppress(Denied):
        claims = read_claims(check_active({**members, "active": True}, ASKED))
        assert claims.issuer == ISSUER
        assert claims.subject == members["sub"]


def test_an_inactive_token_is_refused() -> None:
    assert refusal(None).reason is DenyReason.TOKEN_INACTIVE


@pytest.mark.parametrize("name", ["https://idp.example/", "HTTPS://idp.example", 7, None, [ISSUER]])
def test_an_answer_about_another_issuers_token_is_refused(name: object) -> None:
    assert refusal({**GOOD, "iss": name}).reason is DenyReason.UNKNOWN_ISSUER


@pytest.mark.parametrize(
    "members",
    [
        {"token_type": "refresh_token"},
        {"token_type": 7},
        {"token_type": "N_A"},
        {"token_use": "refresh_token"},
        {"token_use": "id_token"},
        {"token_use": None},
        {"typ": "Refresh"},
        {"typ": "Offline"},
        {"typ": "ID"},
    ],
)
def test_what_is_active_but_no_access_token_is_refused(members: dict[str, object]) -> None:
    """Providers introspect refresh tokens too, and those live for months."""
    assert refusal({**GOOD, **members}).reason is DenyReason.CLAIMS_REFUSED


@pytest.mark.parametrize(
    "members",
    [
        {"token_type": "Bearer"},
        {"token_type": "DPoP", "cnf": {"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}},
        {"token_use": "access_token"},
        {"typ": "Bearer", "iss": ISSUER},
    ],
)
def test_the_members_of_an_access_token_are_handed_on(members: dict[str, object]) -> None:
    token = check_active({**GOOD, **members}, ASKED)

    assert token == IntrospectedToken(ISSUER, {**GOOD, **members})
    claims = read_claims(token)
    assert (claims.subject, claims.audiences) == ("robot", frozenset({"api"}))
    assert claims.raw["exp"] == GOOD["exp"]
    assert {**claims.raw, **members} == claims.raw


def test_the_subject_can_be_another_member() -> None:
    issuer = Issuer(ISSUER, introspection=IntrospectionRules(subject_claim="client_id"))

    found = check_active({**GOOD, "client_id": "program"}, issuer)

    assert read_claims(found).subject == "program"
    with pytest.raises(Denied):
        read_claims(check_active(GOOD, issuer))


def test_an_answer_without_an_end_is_refused() -> None:
    with pytest.raises(Denied, match="exp is missing"):
        read_claims(check_active({"active": True, "sub": "robot"}, ASKED))


def test_a_jwt_is_still_active_if_the_answer_is_about_it() -> None:
    claims = {"iss": ISSUER, "sub": "robot", "jti": "1"}
    issuer = Issuer(ISSUER, introspection=IntrospectionRules(Introspected.ALL))

    check_still_active({"active": True}, claims, issuer)
    check_still_active({"active": True, "sub": "robot", "jti": "1", "scope": "a"}, claims, issuer)
    for name in ("sub", "jti"):
        with pytest.raises(Denied) as denied:
            check_still_active({"active": True, name: "other"}, claims, issuer)
        assert denied.value.reason is DenyReason.CLAIMS_REFUSED
    with pytest.raises(Denied) as denied:
        check_still_active(None, claims, issuer)
    assert denied.value.reason is DenyReason.TOKEN_INACTIVE
