"""The Authorization header: one line, one spelling, or nothing (J21, J22)."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sidecar.core.bearer import canonical, is_canonical, read_bearer
from sidecar.core.decision import Denied, DenyReason

LIMIT = 64
HOSTILE = settings(max_examples=200, derandomize=True, deadline=None)


def refusal(*authorization: str, limit: int = LIMIT) -> DenyReason:
    with pytest.raises(Denied) as denied:
        read_bearer(authorization, limit)
    assert len(denied.value.detail) < 100
    return denied.value.reason


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "bEaReR"])
def test_the_scheme_is_case_insensitive(scheme: str) -> None:
    assert read_bearer([f"{scheme} a.b.c"], LIMIT) == "a.b.c"


@pytest.mark.parametrize("token", ["a", "AZaz09-._~+/", "abc=", "abc=="])
def test_every_b64token_is_accepted(token: str) -> None:
    assert read_bearer([f"Bearer {token}"], LIMIT) == token


@pytest.mark.parametrize(
    "authorization",
    [
        (),
        ("",),
        ("Basic dXNlcjpwYXNz",),
        ("Negotiate",),
        ("DPoP a.b.c",),
        ("AWS4-HMAC-SHA256 Credential=x",),
    ],
)
def test_no_bearer_offered_is_no_credentials(authorization: tuple[str, ...]) -> None:
    assert refusal(*authorization) is DenyReason.NO_CREDENTIALS


@pytest.mark.parametrize(
    "authorization",
    [
        ("Bearer a.b.c", "Bearer a.b.c"),
        ("Bearer a.b.c", ""),
        ("Basic eA==", "Bearer a.b.c"),
        ("Bearer",),
        ("Bearer ",),
        ("Bearer  a.b.c",),
        ("Bearer\ta.b.c",),
        ("Bearer \ta.b.c",),
        (" Bearer a.b.c",),
        ("\tBearer a.b.c",),
        ("Bearer a.b.c ",),
        ("Bearer a.b.c\n",),
        ("Bearer a.b.c, Bearer d.e.f",),
        ("Bearer a.b.c,Basic eA==",),
        ("Basic eA==, Bearer a.b.c",),
        ("Bearer Bearer a.b.c",),
        ("Bearer: a.b.c",),
        ('Bearer "a.b.c"',),
        ("Bearer token=a.b.c;",),
        ("Bearer =",),
        ("Bearer a=b",),
        ("Bearer a.b.\u0131",),
        ("Bearer a.b.\ud800",),
        ("Bearer a.b.c\x00",),
        ("Bearer\u00a0a.b.c",),
        ("xBearer a.b.c",),
    ],
)
def test_a_bearer_that_programs_read_differently_is_malformed(
    authorization: tuple[str, ...],
) -> None:
    assert refusal(*authorization) is DenyReason.MALFORMED_CREDENTIALS


@pytest.mark.parametrize("size", range(LIMIT - 2, LIMIT + 1))
def test_a_token_up_to_the_limit_is_read(size: int) -> None:
    assert read_bearer([f"Bearer {'a' * size}"], LIMIT) == "a" * size


@pytest.mark.parametrize("size", [LIMIT + 1, LIMIT + 2, 1_000_000])
def test_a_token_over_the_limit_is_refused_in_constant_words(size: int) -> None:
    assert refusal(f"Bearer {'a' * size}") is DenyReason.TOKEN_TOO_LARGE


def test_only_one_spelling_is_canonical() -> None:
    assert is_canonical("Bearer a.b.c")
    assert not is_canonical("bearer a.b.c")
    assert not is_canonical("Bearer")
    assert canonical("bEARER a.b.c") == canonical("Bearer a.b.c") == "Bearer a.b.c"


@HOSTILE
@given(st.lists(st.text() | st.text().map(lambda text: f"Bearer {text}"), max_size=3))
@example(["Bearer \udfff"])
def test_any_text_is_read_or_denied(authorization: list[str]) -> None:
    try:
        token = read_bearer(authorization, LIMIT)
    except Denied:
        return
    scheme, _, rest = authorization[0].partition(" ")
    assert (scheme.lower(), rest, len(authorization)) == ("bearer", token, 1)
    assert token.isascii()
    assert token.isprintable()
    assert 0 < len(token) <= LIMIT


@HOSTILE
@given(st.from_regex(r"[A-Za-z0-9\-._~+/]{1,60}={0,3}", fullmatch=True))
def test_what_is_accepted_round_trips(token: str) -> None:
    assert read_bearer([f"Bearer {token}"], LIMIT) == token
