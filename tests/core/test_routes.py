"""The route table: first match wins, nothing passes unlisted."""

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.core.routes import Requirement, Route, Routes, is_pattern

HOSTILE = settings(max_examples=200, derandomize=True, deadline=None)
GET = frozenset({"GET"})


def matched(pattern: str, path: str) -> bool:
    return Routes([Route("r", pattern)]).match_route("GET", path) is not None


@pytest.mark.parametrize(
    ("pattern", "path", "matches"),
    [
        ("/", "/", True),
        ("/", "/a", False),
        ("/a", "/a", True),
        ("/a", "/A", False),
        ("/a", "/a/", False),
        ("/a", "/a\n", False),
        ("/a", "/%61", False),
        ("/a.b", "/axb", False),
        ("/a+", "/aa", False),
        ("/(a)", "/(a)", True),
        ("/{id}", "/x", True),
        ("/{id}", "/", False),
        ("/{id}", "/x/", False),
        ("/{id}", "/x/y", False),
        ("/{id}", "/x%2fy", True),
        ("/a/{id}/c", "/a/b/c", True),
        ("/a/{id}/c", "/a//c", False),
        ("/{a}/{b}", "/x/y", True),
        ("/{a}/{b}", "/x", False),
        ("/**", "/", True),
        ("/**", "/x/y", True),
        ("/**", "*", True),
        ("/a**", "*", False),
        ("/{id}", "*", False),
        ("/a/**", "/a/", True),
        ("/a/**", "/a/b/c", True),
        ("/a/**", "/a", False),
        ("/a/**", "/ab", False),
        ("/a**", "/ab/c", True),
        ("/{id}/**", "/x/", True),
        ("/{id}/**", "//", False),
    ],
)
def test_a_pattern_matches_byte_for_byte(*, pattern: str, path: str, matches: bool) -> None:
    assert is_pattern(pattern)
    assert matched(pattern, path) is matches


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "*",
        "**",
        "//",
        "//a",
        "/a//b",
        "/a//",
        "/*",
        "/a/*",
        "/a/*/b",
        "/**/a",
        "/a***",
        "/a?b",
        "/a;b",
        "/a%2fb",
        "/a b",
        "/a\n",
        "/{}",
        "/{Id}",
        "/{id",
        "/id}",
        "/{a}{b}",
        "/v{n}",
        "/{n}x",
        "/{a}-{b}",
        "/x\u00e9",
        "/a\\b",
        "/a#b",
    ],
)
def test_what_is_no_pattern_is_said_to_be_none(text: str) -> None:
    assert not is_pattern(text)


TABLE = Routes(
    [
        Route("exact", "/a/b", GET),
        Route("any", "/a/{x}", GET),
        Route("write", "/a/**", frozenset({"POST", "PUT"})),
        Route("rest", "/z/**"),
        Route("late", "/z/y", GET, Requirement(bearer=False)),
    ]
)


@pytest.mark.parametrize(
    ("method", "path", "name"),
    [
        ("GET", "/a/b", "exact"),
        ("GET", "/a/c", "any"),
        ("GET", "/a/c/d", None),
        ("POST", "/a/c/d", "write"),
        ("PUT", "/a/", "write"),
        ("DELETE", "/a/b", None),
        ("PROPFIND", "/a/b", None),
        ("get", "/a/b", None),
        ("GET", "/z/y", "rest"),
        ("FOO", "/z/y", "rest"),
        ("GET", "/", None),
        ("GET", "", None),
        ("OPTIONS", "*", None),
    ],
)
def test_the_first_match_wins(method: str, path: str, name: str | None) -> None:
    found = TABLE.match_route(method, path)

    assert (found.name if found else None) == name


def test_an_empty_table_lets_nothing_pass() -> None:
    empty = Routes([])

    assert empty.match_route("GET", "/") is None
    assert empty.match_route("GET", "") is None
    assert Routes([Route("g", "/", GET)]).match_route("POST", "/") is None


def test_a_route_demands_a_bearer_unless_it_says_otherwise() -> None:
    assert Route("r", "/").requirement == Requirement(bearer=True)


def test_a_table_of_hundreds_of_routes_is_matched() -> None:
    many = Routes([Route(f"r{number}", f"/r{number}/{{id}}", GET) for number in range(500)])
    found = many.match_route("GET", "/r499/x")

    assert found is not None
    assert found.name == "r499"


def test_no_path_keeps_the_matcher_busy() -> None:
    """Parameters are whole segments, so no path can be parted among them in many ways."""
    began = time.thread_time()
    matched("/" + "/".join(["{a}"] * 20) + "/x", "/-" * 4000)
    matched("/" + "/".join(["{a}"] * 20) + "/**", "/" + "-" * 8000)
    is_pattern("/a" * 4000 + "*")

    assert time.thread_time() - began < 0.5


SEGMENT = st.text("ab.-", min_size=1, max_size=2)
PATTERNS = st.builds(
    lambda segments, end: "/" + "/".join(segments) + end if segments else f"/{end.strip('/')}",
    st.lists(SEGMENT | st.just("{x}"), max_size=4),
    st.sampled_from(["", "/", "/**"]),
)
PATHS = st.lists(st.text("ab.-", max_size=2), max_size=5).map(lambda parts: "/" + "/".join(parts))


def reference(pattern: str, path: str) -> bool:
    """Return the same answer, segment by segment."""
    wanted, found = pattern.removesuffix("/**").split("/"), path.split("/")
    if pattern.endswith("/**"):
        if len(found) <= len(wanted):
            return False
        found = found[: len(wanted)]
    return len(wanted) == len(found) and all(
        segment != "" if want == "{x}" else segment == want
        for want, segment in zip(wanted, found, strict=True)
    )


@HOSTILE
@given(PATTERNS, PATHS)
def test_the_compiled_table_agrees_with_a_naive_reading(pattern: str, path: str) -> None:
    assert is_pattern(pattern)
    assert matched(pattern, path) == reference(pattern, path)


@HOSTILE
@given(st.lists(PATTERNS, max_size=5), PATHS)
def test_the_table_gives_the_first_of_its_matches(patterns: list[str], path: str) -> None:
    routes = [Route(str(number), pattern) for number, pattern in enumerate(patterns)]
    first = next((route for route in routes if reference(route.pattern, path)), None)

    assert Routes(routes).match_route("GET", path) == first


@HOSTILE
@given(st.text(alphabet="/a{x}*.-", max_size=12))
def test_every_pattern_compiles_and_its_own_text_matches(text: str) -> None:
    if is_pattern(text):
        path = re.sub(r"\{[a-z_]+\}", "p", text.removesuffix("**"))
        assert matched(text, path)


def test_it_is_known_how_many_routes_are_in_shadow() -> None:
    routes = Routes((Route("a", "/a", shadow=True), Route("b", "/b")))

    assert routes.in_shadow == 1
