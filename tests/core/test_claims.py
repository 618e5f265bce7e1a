"""Claims: shapes, dates, audiences (J10 to J14, J25)."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.core.claims import Claims, check_claims, read_claims
from sidecar.core.decision import Denied, DenyReason
from sidecar.core.groups import GroupRules
from sidecar.core.issuer import Issuer
from sidecar.core.subject import SubjectKey
from sidecar.core.token import VerifiedToken

R = DenyReason
NOW = 1_700_000_000.0
ISSUER = Issuer("https://idp.example", "corp", audiences=frozenset({"api", "api-2"}))
GOOD: dict[str, Any] = {
    "iss": ISSUER.name,
    "sub": "robot",
    "aud": "api",
    "exp": NOW + 60,
    "iat": NOW - 60,
}
ABSENT = object()


def verified(**changed: Any) -> VerifiedToken:
    claims = {name: value for name, value in {**GOOD, **changed}.items() if value is not ABSENT}
    return VerifiedToken(ISSUER.name, "at+jwt", claims, 1)


def read(**changed: Any) -> Claims:
    return read_claims(verified(**changed))


def refused(**changed: Any) -> str:
    with pytest.raises(Denied) as denied:
        read(**changed)
    assert denied.value.reason is R.CLAIMS_REFUSED
    assert len(denied.value.detail) < 80
    return denied.value.detail


def verdict(claims: Claims, now: float = NOW, issuer: Issuer = ISSUER) -> DenyReason | None:
    try:
        check_claims(claims, issuer, now)
    except Denied as denied:
        return denied.reason
    return None


def test_good_claims_are_read_and_pass() -> None:
    claims = read(scope="read write", azp="client", jti="t-1", nbf=NOW - 1)

    assert claims.key(ISSUER) == SubjectKey("corp", "robot")
    assert claims.scopes == {"read", "write"}
    assert claims.audiences == {"api"}
    assert (claims.client_id, claims.token_id) == ("client", "t-1")
    assert (claims.issued_at, claims.not_before, claims.expires_at) == (NOW - 60, NOW - 1, NOW + 60)
    assert verdict(claims) is None


def test_a_missing_exp_is_refused() -> None:
    assert refused(exp=ABSENT) == "exp is missing"


NOT_DATES: list[object] = [
    None,
    True,
    False,
    "1800000000",
    [],
    {},
    [1800000000],
    float("nan"),
    float("inf"),
    float("-inf"),
    1e400,
    1e300,
    -1,
    -0.5,
    2**53 + 1,
    10**4000,
    -(10**4000),
]


@pytest.mark.parametrize("name", ["exp", "nbf", "iat"])
@pytest.mark.parametrize("value", NOT_DATES, ids=lambda value: repr(type(value)))
def test_what_is_no_date_is_refused(name: str, value: object) -> None:
    assert refused(**{name: value}).startswith(name)


@pytest.mark.parametrize("value", [0, 0.0, -0.0, 1.5, NOW + 0.5, 2**53])
def test_a_date_may_have_a_fraction(value: float) -> None:
    assert read(exp=value).expires_at == value


@pytest.mark.parametrize(
    ("leeway", "after", "verdict_then"),
    [
        (0, -0.001, None),
        (0, 0, R.TOKEN_EXPIRED),  # RFC 7519, 4.1.4: "on or after"
        (0, 0.001, R.TOKEN_EXPIRED),
        (5, 0, None),
        (5, 4.999, None),
        (5, 5, R.TOKEN_EXPIRED),
    ],
)
def test_a_token_expires_on_the_second(
    leeway: float, after: float, verdict_then: DenyReason | None
) -> None:
    claims = read(exp=NOW)

    assert verdict(claims, NOW + after, replace(ISSUER, leeway=leeway)) is verdict_then


@pytest.mark.parametrize("name", ["nbf", "iat"])
@pytest.mark.parametrize(
    ("leeway", "before", "verdict_then"),
    [
        (0, 0, None),
        (0, 0.001, R.TOKEN_NOT_YET_VALID),
        (0, 1, R.TOKEN_NOT_YET_VALID),
        (5, 5, None),
        (5, 5.5, R.TOKEN_NOT_YET_VALID),
    ],
)
def test_a_token_of_the_future_waits(
    name: str, leeway: float, before: float, verdict_then: DenyReason | None
) -> None:
    claims = read(**{name: NOW + before})

    assert verdict(claims, NOW, replace(ISSUER, leeway=leeway)) is verdict_then


@pytest.mark.parametrize(
    "subject",
    [
        ABSENT,
        None,
        "",
        7,
        ["robot"],
        "s\r\nX-Auth-Groups: admin",
        "a\x00b",
        "\ud800",
        " robot",
        "robot ",
        "r" * 256,
        "r" * 1_000_000,
        "x\u00e9",
    ],
    ids=lambda value: repr(value)[:20],
)
def test_what_cannot_be_a_subject_is_refused_in_constant_words(subject: object) -> None:
    assert refused(sub=subject).startswith("sub is missing")


@pytest.mark.parametrize(
    ("aud", "verdict_then"),
    [
        ("api", None),
        (["api"], None),
        (["other", "api-2"], None),
        ([], R.WRONG_AUDIENCE),
        (ABSENT, R.WRONG_AUDIENCE),
        ("", R.WRONG_AUDIENCE),
        ("API", R.WRONG_AUDIENCE),
        ("api2", R.WRONG_AUDIENCE),
        ("ap", R.WRONG_AUDIENCE),
        ("api/", R.WRONG_AUDIENCE),
        (" api", R.WRONG_AUDIENCE),
        ("api api-2", R.WRONG_AUDIENCE),  # a string is one audience, never a list of words
        ("api,api-2", R.WRONG_AUDIENCE),
        (["API", "x"], R.WRONG_AUDIENCE),
    ],
)
def test_an_audience_is_matched_whole(aud: object, verdict_then: DenyReason | None) -> None:
    assert verdict(read(aud=aud)) is verdict_then


@pytest.mark.parametrize(
    "aud", [None, 7, True, {}, {"api": 1}, [["api"]], ["api", 7], ["api", None]]
)
def test_an_audience_of_another_shape_is_refused(aud: object) -> None:
    assert refused(aud=aud).startswith("aud")


def test_an_issuer_without_audiences_accepts_none() -> None:
    """Settings refuse it; here absence is a failure all the same."""
    assert verdict(read(), issuer=replace(ISSUER, audiences=frozenset())) is R.WRONG_AUDIENCE
    assert (
        verdict(read(aud=ABSENT), issuer=replace(ISSUER, audiences=frozenset())) is R.WRONG_AUDIENCE
    )


COGNITO = replace(
    ISSUER, audiences=frozenset(), client_claim="client_id", clients=frozenset({"robot-client"})
)


@pytest.mark.parametrize(
    ("client", "verdict_then"),
    [
        ("robot-client", None),
        ("ROBOT-CLIENT", R.WRONG_AUDIENCE),
        ("", R.WRONG_AUDIENCE),
        (ABSENT, R.WRONG_AUDIENCE),
        (None, R.WRONG_AUDIENCE),
        (["robot-client"], R.WRONG_AUDIENCE),
        ({"robot-client": 1}, R.WRONG_AUDIENCE),
    ],
)
def test_without_aud_the_client_claim_decides(
    client: object, verdict_then: DenyReason | None
) -> None:
    claims = read(aud=ABSENT, client_id=client)

    assert verdict(claims, issuer=COGNITO) is verdict_then


def test_where_both_are_configured_both_must_fit() -> None:
    both = replace(COGNITO, audiences=frozenset({"api"}))

    assert verdict(read(client_id="robot-client"), issuer=both) is None
    assert verdict(read(client_id="robot-client", aud="x"), issuer=both) is R.WRONG_AUDIENCE
    assert verdict(read(client_id="x"), issuer=both) is R.WRONG_AUDIENCE


@pytest.mark.parametrize(
    ("claims", "issuer", "detail"),
    [
        ({"aud": ["b", "a\n"]}, ISSUER, "aud names none of ours: 'a\\n', 'b'"),
        ({"aud": ABSENT}, ISSUER, "aud names none of ours: none"),
        ({"aud": list("54321")}, ISSUER, "aud names none of ours: '1', '2', '3', ..."),
        ({"aud": "x" * 500}, ISSUER, f"aud names none of ours: '{'x' * 100}'"),
        ({"client_id": "other"}, COGNITO, "client_id is none of ours: 'other'"),
        ({"client_id": 7}, COGNITO, "client_id is none of ours: no text"),
    ],
)
def test_our_log_is_told_what_the_token_was_for_in_so_many_letters(
    claims: dict[str, Any], issuer: Issuer, detail: str
) -> None:
    """Its signature is good, so these are its issuer's words; clients see none of them."""
    with pytest.raises(Denied) as denied:
        check_claims(read(**claims), issuer, NOW)

    assert denied.value.detail == detail


def test_a_client_mode_without_clients_accepts_nobody() -> None:
    nobody = replace(COGNITO, clients=frozenset())

    assert verdict(read(client_id="robot-client"), issuer=nobody) is R.WRONG_AUDIENCE


@pytest.mark.parametrize("name", [f"{ISSUER.name}/", "https://IDP.example", "", "https://idp"])
def test_claims_of_another_issuer_do_not_pass(name: str) -> None:
    """Byte-equal: PyJWT once took a part of the name for the whole (CVE-2024-53861)."""
    assert verdict(replace(read(), issuer=name)) is R.UNKNOWN_ISSUER


@pytest.mark.parametrize(
    ("value", "verdict_then"),
    [
        ("access", None),
        ("id", R.CLAIMS_REFUSED),
        (["access"], R.CLAIMS_REFUSED),
        (True, R.CLAIMS_REFUSED),
        (None, R.CLAIMS_REFUSED),
        (ABSENT, R.CLAIMS_REFUSED),
    ],
)
def test_a_required_claim_is_matched_exactly(
    value: object, verdict_then: DenyReason | None
) -> None:
    strict = replace(ISSUER, required_claims={"token_use": "access"})

    assert verdict(read(token_use=value), issuer=strict) is verdict_then


@pytest.mark.parametrize(
    ("claims", "scopes"),
    [
        ({}, set()),
        ({"scope": ""}, set()),
        ({"scope": "read  write "}, {"read", "write"}),
        ({"scope": ["read", "write"]}, {"read", "write"}),
        ({"scp": "read"}, {"read"}),
        ({"scp": ["a"], "scope": "b"}, {"a", "b"}),
        ({"scp": ["read admin"]}, {"read admin"}),
        ({"scope": "read\u00a0admin"}, {"read\u00a0admin"}),
        ({"scope": "read\u2028admin"}, {"read\u2028admin"}),
        ({"scope": "read\tadmin"}, {"read\tadmin"}),
    ],
    ids=range(10),
)
def test_scopes_are_parted_by_spaces_alone(claims: dict[str, Any], scopes: set[str]) -> None:
    """Other white space inside a scope must not make two grants of one (RFC 6749, 3.3)."""
    assert read(**claims).scopes == scopes


@pytest.mark.parametrize("value", [None, 7, {}, ["a", 7], [["a"]]])
@pytest.mark.parametrize("name", ["scope", "scp"])
def test_scopes_of_another_shape_are_refused(name: str, value: object) -> None:
    assert refused(**{name: value}).startswith(name)


@pytest.mark.parametrize(
    ("claims", "client"),
    [
        ({}, ""),
        ({"azp": "a", "appid": "b", "cid": "c", "client_id": "d"}, "a"),
        ({"appid": "b", "client_id": "d"}, "b"),
        ({"cid": "c"}, "c"),
        ({"client_id": "d"}, "d"),
        ({"azp": "x\r\ny", "client_id": "d"}, "d"),
        ({"azp": ["a"]}, ""),
    ],
    ids=repr,
)
def test_the_client_is_found_where_providers_put_it(claims: dict[str, Any], client: str) -> None:
    assert read(**claims).client_id == client


@pytest.mark.parametrize("value", ["t", "t" * 512, "x\u00e9", "a b"])
def test_a_token_id_is_printable(value: str) -> None:
    assert read(jti=value).token_id == value


@pytest.mark.parametrize(
    "value",
    [None, "", 7, ["t"], "t" * 513, "a\nb", "a\x00", "\ud800", "\u202e", "\u2028"],
    ids=lambda value: repr(value)[:20],
)
def test_a_token_id_of_another_shape_is_refused(value: object) -> None:
    """It is looked up in the account store and written to the log."""
    assert refused(jti=value).startswith("jti")


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["api", "robot", NOW, NOW + 60, int(NOW)]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)
NAMES = st.sampled_from(
    ["iss", "sub", "aud", "exp", "nbf", "iat", "jti", "scope", "scp", "azp", "client_id", "x"]
)


@settings(max_examples=200, derandomize=True, deadline=None)
@given(st.dictionaries(NAMES, JSON, max_size=6))
def test_any_value_of_any_claim_is_read_or_denied(changed: dict[str, Any]) -> None:
    try:
        claims = read(**changed)
        check_claims(claims, ISSUER, NOW)
    except Denied as denied:
        assert denied.reason.http_status == 401  # noqa: PT017 - either outcome is right
        return
    assert claims.expires_at > NOW
    assert claims.audiences & ISSUER.audiences
    assert claims.subject.isprintable()


def test_groups_are_read_where_the_issuers_are_taken_from_a_claim() -> None:
    token = verified(groups=["ops", "a,b"])

    assert read_claims(token).groups == ()
    assert read_claims(token, GroupRules("groups")).groups == ("ops",)


def test_a_groups_claim_of_no_use_is_refused_without_a_quote() -> None:
    with pytest.raises(Denied) as denied:
        read_claims(verified(groups={"admin": True}), GroupRules("groups"))

    assert denied.value.reason is R.CLAIMS_REFUSED
    assert "admin" not in denied.value.detail
