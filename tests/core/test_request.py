"""Methods, targets and paths on which programs disagree (P9 to P11, P16, J21)."""

import posixpath
from urllib.parse import unquote

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sidecar.core.decision import Denied, DenyReason
from sidecar.core.request import (
    AccessRequest,
    Ambiguity,
    check_method,
    check_path,
    is_ambiguous,
    names_access_token,
    other_readings,
    read_target,
)

HOSTILE = settings(max_examples=200, derandomize=True, deadline=None)
ALL = frozenset(Ambiguity)


def path_refused(path: str, tolerated: frozenset[Ambiguity] = frozenset()) -> bool:
    try:
        check_path(path, tolerated)
    except Denied as denied:
        return denied.reason is DenyReason.MALFORMED_REQUEST
    return False


@pytest.mark.parametrize(
    "method", ["GET", "HEAD", "OPTIONS", "POST", "PROPFIND", "FOO", "M-SEARCH", "VERSION-CONTROL"]
)
def test_upper_case_methods_pass(method: str) -> None:
    check_method(method)


@pytest.mark.parametrize(
    "method",
    [
        "CONNECT",
        "TRACE",
        "TRACK",
        "connect",
        "get",
        "GeT",
        "GET ",
        " GET",
        "GET\n",
        "GET\x00",
        "",
        "-",
        "GET-",
        "G\u0130T",
        "GET,POST",
        "G" * 20 + "e",
    ],
)
def test_other_methods_are_refused(method: str) -> None:
    """``get`` slipped through a table of ``GET`` elsewhere (CVE-2020-14359)."""
    with pytest.raises(Denied) as denied:
        check_method(method)
    assert denied.value.reason is DenyReason.METHOD_REFUSED


def test_a_request_does_not_print_its_credential() -> None:
    request = AccessRequest("GET", "h", "/", "", ("Bearer s3cret",), "192.0.2.7", "r-1")

    assert "s3cret" not in repr(request)


@pytest.mark.parametrize(
    ("target", "method", "read"),
    [
        ("/", "GET", ("/", "")),
        ("/a?b=c", "GET", ("/a", "b=c")),
        ("/a?b?c", "GET", ("/a", "b?c")),
        ("/a?", "GET", ("/a", "")),
        ("/a%2Fb?%ff", "GET", ("/a%2Fb", "%ff")),
        ("//evil/a", "GET", ("//evil/a", "")),
        ("*", "OPTIONS", ("*", "")),
    ],
)
def test_a_target_is_split_and_kept_raw(target: str, method: str, read: tuple[str, str]) -> None:
    assert read_target(target, method) == read


@pytest.mark.parametrize(
    ("target", "method"),
    [
        ("", "GET"),
        ("*", "GET"),
        ("**", "OPTIONS"),
        ("?a=/x", "GET"),
        ("a/b", "GET"),
        ("http://evil.example/", "GET"),
        ("https:/x", "GET"),
        ("evil.example:443", "CONNECT"),
        (" /a", "GET"),
        ("\\a", "GET"),
        ("/a?b#c", "GET"),
        ("/a?b c", "GET"),
        ("/a?b\r\nX: y", "GET"),
        ("/a?\x00", "GET"),
        ("/a?x\u00e9", "GET"),
        ("/a?\udcff", "GET"),
        ("/a?\x7f", "GET"),
    ],
)
def test_other_targets_are_refused(target: str, method: str) -> None:
    with pytest.raises(Denied) as denied:
        read_target(target, method)
    assert denied.value.reason is DenyReason.MALFORMED_REQUEST


@pytest.mark.parametrize(
    "path",
    [
        "*",
        "/",
        "/a/b/",
        "/a.b/c..d/...",
        "/.well-known/x",
        "/..a/b..",
        "/a-b_c~d!$&'()*+,=:@",
        "/x%C3%A9",
        "/%20%7e%41",
        "/a%3Bb",
    ],
)
def test_a_plain_path_passes(path: str) -> None:
    assert not path_refused(path)
    assert not is_ambiguous(path)


HOSTILE_PATHS = [
    "",
    "a",
    "**",
    "/public/../admin",
    "/public/..",
    "/./admin",
    "/.",
    "/public/..;/admin",
    "/public/..;x=1/admin",
    "/public/.;/admin",
    "/public/%2e%2e/admin",
    "/public/%2E%2e/admin",
    "/public/.%2e/admin",
    "/public/%2e",
    "/public/..%5cadmin",
    "/public\\..\\admin",
    "/a\\b",
    "/public%23/../admin",
    "/public#/admin",
    "/public%23",
    "/admin%3f/public",
    "/admin%3F",
    "/admin?x",
    "/a%00b",
    "/a%00.png",
    "/a%0d%0aX-Y:z",
    "/a%0A",
    "/a%1f",
    "/a%7f",
    "/a%",
    "/a%2",
    "/a%zz",
    "/a%u002f",
    "/%252e%252e/admin",
    "/a%252fb",
    "/%c0%ae%c0%ae/admin",
    "/%c0%af",
    "/%e0%80%af",
    "/%f0%80%80%af",
    "/%ed%a0%80",
    "/%ff",
    "/a b",
    "/a\tb",
    "/a\n",
    "/a\r\nX: y",
    "/a\x00",
    "/x\u00e9",
    "/\udcc0\udcae",
    "/a|b",
    '/a"b',
    "/a<b>",
    "/a{b}",
    "/a^b",
    "/a`b",
    "/a[b]",
]


@pytest.mark.parametrize("path", HOSTILE_PATHS)
def test_a_hostile_path_is_refused_whatever_is_tolerated(path: str) -> None:
    assert path_refused(path)
    assert path_refused(path, ALL)


@pytest.mark.parametrize(
    ("path", "ambiguity"),
    [
        ("/a%2fb", Ambiguity.ENCODED_SLASH),
        ("/a%2Fb", Ambiguity.ENCODED_SLASH),
        ("//a", Ambiguity.DOUBLE_SLASH),
        ("/a//b", Ambiguity.DOUBLE_SLASH),
        ("/a//", Ambiguity.DOUBLE_SLASH),
        ("/a;x=1/b", Ambiguity.SEMICOLON),
        ("/admin;", Ambiguity.SEMICOLON),
    ],
)
def test_an_ambiguity_passes_only_where_it_is_tolerated(path: str, ambiguity: Ambiguity) -> None:
    assert path_refused(path)
    assert path_refused(path, ALL - {ambiguity})
    assert not path_refused(path, frozenset({ambiguity}))
    assert is_ambiguous(path)


@pytest.mark.parametrize(
    "path",
    [
        "/public/..%2fadmin",
        "/public/..%2Fadmin",
        "/public%2f../admin",
        "/public%2F..%2Fadmin",
        "/public%2f..",
        "/public%2f.%2fadmin",
        "/public/..%3b/admin",
        "/public/..%3Bx/admin",
    ],
)
def test_a_tolerated_encoding_hides_no_dot_segment(path: str) -> None:
    """Upstream decodes, then resolves the dots: the rule of ``/public`` would open ``/admin``."""
    assert path_refused(path, ALL)


@pytest.mark.parametrize(
    "query",
    [
        "access_token=a.b.c",
        "a=b&access_token=x",
        "access_token",
        "access_token=",
        "a;access_token=x",
        "%61ccess_token=x",
        "access%5Ftoken=x",
        "access%5ftoken",
        "ACCESS_TOKEN=x",
        "Access%5FToken=x",
        "%41ccess_token=x",
        "&&access_token=x",
    ],
)
def test_a_token_in_the_query_is_seen_however_spelled(query: str) -> None:
    assert names_access_token(query)


@pytest.mark.parametrize(
    "query",
    [
        "",
        "a=b",
        "token=x",
        "a=access_token",
        "access_token_hint=x",
        "xaccess_token=1",
        "%zz=%",
        "%",
    ],
)
def test_other_queries_carry_no_token(query: str) -> None:
    assert not names_access_token(query)


@HOSTILE
@given(st.text())
@example("%\udcff=access_token")
def test_any_query_is_judged(query: str) -> None:
    assert names_access_token(query) in (True, False)


PIECES = st.one_of(
    st.sampled_from(["/", "//", ".", "..", "a", "admin", ";", "\\", "#", "?", "\n", "\u00e9"]),
    st.sampled_from(["%", "%2f", "%2e", "%5C", "%00", "%3b", "%3f", "%25", "%C3%A9", "%c0", "%ae"]),
)
PATHS = st.lists(PIECES, max_size=8).map(lambda pieces: "/" + "".join(pieces))


def resolved(path: str) -> str:
    """Return the path as a server that decodes everything, then resolves it, would see it."""
    plain = posixpath.normpath(unquote(path, errors="strict"))
    return plain + "/" if path.endswith("/") and plain != "/" else plain


@HOSTILE
@given(PATHS | st.text().map(lambda text: f"/{text}"))
def test_an_accepted_path_reads_the_same_after_decoding(path: str) -> None:
    """Decoded once or twice, resolved or not: it stays the path that the rules have seen."""
    if path_refused(path):
        return
    assert resolved(path) == unquote(path)
    assert unquote(unquote(path)) == unquote(path)
    assert not {"\\", "#", "?", "\x00", "\n", "%"} & set(unquote(path))


@HOSTILE
@given(PATHS)
def test_a_tolerated_path_holds_no_dot_segment_either(path: str) -> None:
    if path_refused(path, ALL):
        return
    segments = unquote(path).split("/")
    assert not [each for each in segments if each.partition(";")[0] in {".", ".."}]


@pytest.mark.parametrize(
    ("path", "readings"),
    [
        ("/a/b", set()),
        ("/%61/b", {"/a/b"}),
        ("/a;x=1/b", {"/a/b"}),
        ("/a//b", {"/a/b"}),
        (
            "/%61;x=1//b",
            {"/a;x=1//b", "/%61//b", "/a//b", "/%61;x=1/b", "/a;x=1/b", "/%61/b", "/a/b"},
        ),
        ("/a%2Fb", {"/a/b"}),
        ("/a%3Bx/b", {"/a;x/b", "/a/b"}),
    ],
)
def test_every_way_in_which_lenient_programs_read_a_path_is_known(
    path: str, readings: set[str]
) -> None:
    assert other_readings(path) == readings


@given(st.text("/a%61;=.2Ff", max_size=20))
def test_a_path_is_never_another_reading_of_itself(path: str) -> None:
    assert path not in other_readings(path)
