from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.fronts.forwarded import (
    TrustedProxies,
    is_alias_of_proxies,
    is_of_proxies,
    is_override,
)

OURS = TrustedProxies((ip_network("10.1.0.0/16"), ip_network("fd00::/8")))


def test_by_default_nobody_is_trusted() -> None:
    """CVE-2026-76835: the fix was inert since everybody was trusted; private is not trust."""
    nobody = TrustedProxies()

    assert not any(nobody.trusts(each) for each in ("127.0.0.1", "10.0.0.1", "::1", ""))
    assert nobody.client("10.0.0.1", ["203.0.113.9"]) == "10.0.0.1"


@pytest.mark.parametrize(
    ("address", "trusted"),
    [
        ("10.1.2.3", True),
        ("::ffff:10.1.2.3", True),
        ("fd00::7", True),
        ("10.2.0.1", False),
        ("10.1.2.3:80", False),
        ("", False),
        ("unknown", False),
        ("010.001.002.003", False),
    ],
)
def test_a_proxy_is_trusted_by_its_network(address: str, *, trusted: bool) -> None:
    assert OURS.trusts(address) is trusted
    assert OURS.trusts(address) is trusted  # also once remembered


@pytest.mark.parametrize(
    ("lines", "client"),
    [
        ([], "10.1.0.1"),
        (["203.0.113.9"], "203.0.113.9"),
        (["1.1.1.1, 203.0.113.9"], "203.0.113.9"),
        (["203.0.113.9, 10.1.9.9"], "203.0.113.9"),
        (["1.1.1.1", "203.0.113.9"], "203.0.113.9"),
        (["203.0.113.9:4711"], "203.0.113.9"),
        (["[2001:db8::1]:4711"], "2001:db8::1"),
        (["2001:db8::1"], "2001:db8::1"),
        (["junk"], "10.1.0.1"),
        (["203.0.113.9\r\nX: y"], "10.1.0.1"),
        (["10.1.1.1, 10.1.1.2"], "10.1.1.1"),
    ],
)
def test_the_client_is_the_last_address_that_no_proxy_of_ours_has(
    lines: list[str], client: str
) -> None:
    assert OURS.client("10.1.0.1", lines) == client


@pytest.mark.parametrize(
    ("name", "is_alias"),
    [
        ("X-Forwarded-For", False),
        ("forwarded", False),
        ("X_Forwarded_For", True),
        ("x-real.ip", True),
        ("X_Odd", False),
    ],
)
def test_proxies_have_one_spelling(name: str, *, is_alias: bool) -> None:
    assert is_alias_of_proxies(name) is is_alias


@given(st.lists(st.text(max_size=30), max_size=4))
def test_an_untrusted_peer_is_the_client_whatever_it_says(lines: list[str]) -> None:
    assert OURS.client("198.51.100.1", lines) == "198.51.100.1"


def test_the_memory_of_addresses_is_bounded() -> None:
    trusted = TrustedProxies((ip_network("10.0.0.0/8"),))
    for number in range(2000):
        trusted.trusts(f"192.0.{number // 256}.{number % 256}")

    assert len(trusted._known) == 1024
    assert trusted.trusts("10.200.0.1")


@pytest.mark.parametrize(
    "name",
    ["X-Forwarded-Uri", "x_forwarded_proto", "X.Forwarded.Host", "FORWARDED", "X-Real-IP",
     "X-Envoy-Original-Path", "X-Forwarded-Prefix"],
)  # fmt: skip
def test_what_proxies_say_is_known_under_every_spelling(name: str) -> None:
    assert is_of_proxies(name)
    assert not is_override(name)


@pytest.mark.parametrize(
    "name", ["X-Original-URL", "x_rewrite_url", "X-HTTP-Method-Override", "X.Original.URI"]
)
def test_what_would_change_the_question_is_known_under_every_spelling(name: str) -> None:
    assert is_override(name)
    assert not is_of_proxies(name)


def test_other_headers_are_neither() -> None:
    assert not is_of_proxies("X-Forwarder")
    assert not is_override("X-Original")
