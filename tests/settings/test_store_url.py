import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.settings.store_url import FollowedUrl, has_hash_tag, read_followed_url


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (
            "redis+sentinel://a:1,b,[::1]:3/main/2",
            FollowedUrl((("a", 1), ("b", 26379), ("::1", 3)), "main", 2),
        ),
        ("redis+sentinel://a/main", FollowedUrl((("a", 26379),), "main")),
        ("redis+sentinel://a/main/", FollowedUrl((("a", 26379),), "main")),
        (
            "rediss+sentinel://eve:p%40ss@a/main/0",
            FollowedUrl((("a", 26379),), "main", tls=True, username="eve", password="p@ss"),
        ),
        (
            "rediss+sentinel://:secret@a/main/0",
            FollowedUrl((("a", 26379),), "main", tls=True, password="secret"),
        ),
        ("redis+cluster://a:7000,b", FollowedUrl((("a", 7000), ("b", 6379)))),
        ("rediss+cluster://a/", FollowedUrl((("a", 6379),), tls=True)),
    ],
)
def test_what_has_to_be_found_is_named_by_those_who_know(url: str, expected: FollowedUrl) -> None:
    assert read_followed_url(url) == expected


@pytest.mark.parametrize(
    "url", ["redis://a/0", "rediss://a", "unix:///a", "memory://", "redis+other://a", "", "redis+"]
)
def test_other_urls_are_not_its_business(url: str) -> None:
    assert read_followed_url(url) is None


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("redis+sentinel://a", "SERVICE/0"),
        ("redis+sentinel:///main", "SERVICE/0"),
        ("redis+sentinel://a/main/x", "SERVICE/0"),
        ("redis+sentinel://a/main/0?ssl_cert_reqs=none", "no options"),
        ("redis+sentinel://a/main/0#x", "no options"),
        ("redis+sentinel://a:0/main/0", "SERVICE/0"),
        ("redis+sentinel://a:65536/main/0", "SERVICE/0"),
        ("redis+sentinel://a,/main/0", "SERVICE/0"),
        ("redis+sentinel://a b/main/0", "SERVICE/0"),
        ("redis+sentinel://a,a:26379/main/0", "names a host twice"),
        ("redis+cluster://", "such as redis"),
        ("redis+cluster://a/1", "one database only"),
    ],
)
def test_a_malformed_one_is_refused_with_an_example(url: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        read_followed_url(url)


@given(st.text())
def test_no_text_makes_it_stumble(text: str) -> None:
    for scheme in ("redis+sentinel://", "redis+cluster://"):
        try:
            found = read_followed_url(scheme + text)
        except ValueError:
            continue
        assert found is not None
        assert all(0 < port < 65536 for _, port in found.hosts)


@pytest.mark.parametrize(
    ("prefix", "expected"),
    [("{sidecar}:", True), ("a{b}c:", True), ("sidecar:", False), ("{}a:", False), ("{a:", False),
     ("}a{:", False), ("{}{a}:", False)],
)  # fmt: skip
def test_a_hash_tag_keeps_keys_together(prefix: str, expected: bool) -> None:  # noqa: FBT001
    assert has_hash_tag(prefix) is expected
