"""What a client may not send through a proxy that only asks."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.decision import Denied, DenyReason
from sidecar.core.dialect import Dialect
from sidecar.fronts.forward_auth.original import names_of
from sidecar.fronts.forward_auth.screen import Screen
from sidecar.fronts.request_head import HeadRules
from tests.fakes.front import IDENTITY

RULES = HeadRules(IDENTITY)
TRAEFIK = Screen(IDENTITY, names_of(Dialect.TRAEFIK))
NGINX = Screen(IDENTITY, names_of(Dialect.NGINX))
ENVOY = Screen(IDENTITY, names_of(Dialect.ENVOY))


def passes(screen: Screen, *fields: tuple[bytes, bytes]) -> bool:
    try:
        screen.check(RULES.read(fields), fields)
    except Denied as denied:
        return denied.reason is not DenyReason.MALFORMED_REQUEST
    return True


@pytest.mark.parametrize(
    "name",
    [b"X-Auth-Subject", b"x-auth-subject", b"Api-Key", b"X-Odd", b"Authorization", b"Cookie"],
)
def test_what_the_answer_overwrites_or_nobody_minds_may_come(name: bytes) -> None:
    assert passes(TRAEFIK, (name, b"a"), (name, b"b"))


@pytest.mark.parametrize(
    "name",
    [
        b"X_Auth_Subject",  # CVE-2025-64484
        b"X-Auth_Subject",
        b"X.Auth.Subject",  # CVE-2026-88011
        b"x!auth~subject",
        b"Api_Key",
        b"X-Auth-Subject\xe9",
        b"Transfer_Encoding",
        b"content.length",
        b"X-HTTP-Method-Override",
        b"x_http_method",
        b"X-Rewrite-URL",
        b"X-Original.Host",
        b"X_Forwarded_For",
        b"X.Real.IP",
    ],
)
def test_what_would_stay_and_mislead_upstream_is_refused(name: bytes) -> None:
    for screen in (TRAEFIK, NGINX, ENVOY):
        assert not passes(screen, (name, b"x"))
        assert not passes(screen, (name, b"x"))  # also once remembered


def test_each_dialect_has_its_own_headers_and_no_alias_of_them() -> None:
    assert passes(TRAEFIK, (b"X-Forwarded-Uri", b"/"))
    assert not passes(TRAEFIK, (b"X_Forwarded_Uri", b"/"))
    assert not passes(TRAEFIK, (b"X-Original-URL", b"/"))
    assert passes(NGINX, (b"X-Original-URI", b"/"))
    assert not passes(NGINX, (b"X_Original_URI", b"/"))
    assert not passes(NGINX, (b"X-Original-URL", b"/"))
    assert not passes(ENVOY, (b"X-Original-URL", b"/"))


@pytest.mark.parametrize("option", [b"X-Auth-Subject", b"close, x_auth_name", b"api-key"])
def test_a_connection_that_would_remove_the_identity_is_refused(option: bytes) -> None:
    """CVE-2024-45410."""
    assert not passes(TRAEFIK, (b"Connection", option))
    assert passes(TRAEFIK, (b"Connection", b"keep-alive, Upgrade"))


def test_a_connection_that_would_remove_the_proxys_word_is_refused() -> None:
    assert not passes(TRAEFIK, (b"Connection", b"x-forwarded-uri"))


@given(
    name=st.sampled_from(["X-Auth-Subject", "X-Auth-Groups", "Api-Key"]),
    separators=st.lists(st.sampled_from("-_.!~|^*+"), min_size=3, max_size=3),
)
def test_every_spelling_but_the_one_is_an_alias(name: str, separators: list[str]) -> None:
    parts = name.split("-")
    spelled = parts[0] + "".join(
        separator + part for separator, part in zip(separators, parts[1:], strict=False)
    )
    assert passes(TRAEFIK, (spelled.encode(), b"x")) is (spelled == name)


def test_names_that_clients_make_up_fill_no_memory() -> None:
    screen = Screen(IDENTITY, ())
    assert passes(screen, *((b"X-%d" % number, b"") for number in range(3000)))
    assert passes(screen, (b"X" * 100, b""))
    assert len(screen._problems) == 2048
