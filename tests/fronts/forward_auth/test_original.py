"""Reading what the proxy's client asked: one way for each dialect, exactly once."""

from contextlib import suppress
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.decision import Denied, DenyReason
from sidecar.core.dialect import Dialect
from sidecar.fronts.forward_auth.original import Original, names_of, read_original

FORWARDED = (
    (b"X-Forwarded-Method", b"POST"),
    (b"x-forwarded-proto", b"https"),
    (b"X-FORWARDED-HOST", b"a.example:8443"),
    (b"X-Forwarded-Uri", b"/x%2Fy?z=%41"),
)
ORIGINAL = (
    (b"X-Original-Method", b"POST"),
    (b"X-ORIGINAL-HOST", b"a.example:8443"),
    (b"x-original-uri", b"/x%2Fy?z=%41"),
)
ASKED = Original("POST", "a.example:8443", "/x%2Fy?z=%41")
HEADER_DIALECTS = [
    (Dialect.TRAEFIK, FORWARDED),
    (Dialect.CADDY, FORWARDED),
    (Dialect.NGINX, ORIGINAL),
]


def read(
    dialect: Dialect, *fields: tuple[bytes, bytes], method: str = "GET", target: str = "/auth"
) -> Original:
    return read_original(dialect, "/auth", method, target, [(b"Host", b"door"), *fields])


def refused(
    dialect: Dialect, *fields: tuple[bytes, bytes], target: str = "/auth", method: str = "GET"
) -> str:
    with pytest.raises(Denied) as denied:
        read(dialect, *fields, target=target, method=method)
    assert denied.value.reason is DenyReason.MALFORMED_REQUEST
    return denied.value.detail


@pytest.mark.parametrize(("dialect", "fields"), HEADER_DIALECTS)
def test_what_was_asked_is_what_the_proxy_says(
    dialect: Dialect, fields: tuple[tuple[bytes, bytes], ...]
) -> None:
    assert read(dialect, *fields) == ASKED


def test_envoy_asks_with_the_request_itself_behind_the_doors_path() -> None:
    asked = read(Dialect.ENVOY, method="POST", target="/auth/x%2Fy?z=%41")

    assert asked == Original("POST", "door", "/x%2Fy?z=%41")


@pytest.mark.parametrize(("dialect", "fields"), HEADER_DIALECTS)
def test_each_header_has_to_be_there_exactly_once(
    dialect: Dialect, fields: tuple[tuple[bytes, bytes], ...]
) -> None:
    for field in fields:
        others = [each for each in fields if each is not field]
        assert field[0].decode().lower() in refused(dialect, *others)
        assert field[0].decode().lower() in refused(dialect, *fields, field)
        # Two that agree are two all the same: which one counts is the next reader's guess.
        assert field[0].decode().lower() in refused(dialect, *fields, (field[0].lower(), b"x"))


@pytest.mark.parametrize(("dialect", "fields"), HEADER_DIALECTS)
@pytest.mark.parametrize("target", ["/", "/auth/", "/auth/x", "/auth%3f", "/AUTH", "*", ""])
def test_proxies_ask_at_the_doors_path_alone(
    dialect: Dialect, fields: tuple[tuple[bytes, bytes], ...], target: str
) -> None:
    assert refused(dialect, *fields, target=target) == "the path is not the door's"


def test_a_query_on_the_question_is_no_part_of_what_was_asked() -> None:
    assert read(Dialect.CADDY, *FORWARDED, target="/auth?a=/health") == ASKED


@pytest.mark.parametrize("target", ["/", "/auth", "/authx", "/auth?x", "*", "auth/x", "/x/auth/y"])
def test_envoy_asks_below_the_doors_path_alone(target: str) -> None:
    assert refused(Dialect.ENVOY, target=target) == "the path is not below the door's"


def test_a_path_in_which_envoy_may_have_replaced_octets_is_refused() -> None:
    """It asks with ``!`` for what is no UTF-8, an overlong ``..`` for one, and passes it on."""
    problem = "the path may have octets that Envoy could not tell"

    assert refused(Dialect.ENVOY, target="/auth/public/!!!!/reports") == problem
    assert read(Dialect.ENVOY, target="/auth/x%21?y=!").target == "/x%21?y=!"


@pytest.mark.parametrize(("dialect", "fields"), HEADER_DIALECTS)
def test_the_other_dialects_are_not_heard(
    dialect: Dialect, fields: tuple[tuple[bytes, bytes], ...]
) -> None:
    """CVE-2026-40575: a client's X-Forwarded-Uri counted where the proxy set something else."""
    others = [
        (name.encode(), b"/health")
        for other in Dialect
        for name in names_of(other)
        if name not in names_of(dialect)
    ]
    assert read(dialect, *others, *fields) == ASKED
    assert read(Dialect.ENVOY, *fields, target="/auth/y") == Original("GET", "door", "/y")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (b"X-Forwarded-Method", b""),
        (b"X-Forwarded-Proto", b""),
        (b"X-Forwarded-Proto", b"https, http"),
        (b"X-Forwarded-Proto", b"HTTPS"),
        (b"X-Forwarded-Host", b""),
        (b"X-Forwarded-Host", b"a, b"),
        (b"X-Forwarded-Host", b"user@a"),
        (b"X-Forwarded-Host", b"a/b"),
        (b"X-Forwarded-Host", b"\xe9.example"),
    ],
)
def test_a_malformed_header_is_refused(name: bytes, value: bytes) -> None:
    others = [each for each in FORWARDED if each[0].lower() != name.lower()]

    assert refused(Dialect.TRAEFIK, *others, (name, value))


@given(
    dialect=st.sampled_from([Dialect.TRAEFIK, Dialect.NGINX]),
    host=st.text(st.characters(min_codepoint=33, max_codepoint=255), max_size=12),
)
def test_no_host_moves_the_border_to_the_path(dialect: Dialect, host: str) -> None:
    """Nginx takes nearly anything for a host, such as ``a/public/?x=``."""
    fields = FORWARDED if dialect is Dialect.TRAEFIK else ORIGINAL
    sent = [
        (name, host.encode("latin-1") if name.lower().endswith(b"-host") else value)
        for name, value in fields
    ]
    try:
        asked = read(dialect, *sent)
    except Denied:
        return
    assert asked == Original("POST", host, ASKED.target)
    assert urlsplit(f"https://{asked.host}/").netloc == host


@given(
    dialect=st.sampled_from(list(Dialect)),
    method=st.text(max_size=8),
    target=st.text(max_size=20),
    fields=st.lists(
        st.tuples(
            st.sampled_from([name for name, _ in (*FORWARDED, *ORIGINAL)]) | st.binary(max_size=8),
            st.binary(max_size=20),
        ),
        max_size=8,
    ),
)
def test_anything_is_read_or_refused(
    dialect: Dialect, method: str, target: str, fields: list[tuple[bytes, bytes]]
) -> None:
    with suppress(Denied):
        assert isinstance(read(dialect, *fields, method=method, target=target), Original)
