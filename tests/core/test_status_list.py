"""A status list is the issuer's own, of bounded size, and what is not valid by it is refused."""

import zlib
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc.util import urlsafe_b64encode

from sidecar.core.claims import Claims, read_claims
from sidecar.core.decision import Denied, DenyReason
from sidecar.core.issuer import Issuer, StatusListRules
from sidecar.core.principal import StatusReference
from sidecar.core.status_list import (
    MAX_INFLATED_BYTES,
    BadStatusList,
    StatusList,
    check_status,
    read_reference,
    read_status_list,
)
from sidecar.core.token import VerifiedToken
from tests.fakes.status_lists import URI, list_claims, statuses
from tests.fakes.world import ISSUER, NOW

RULES = StatusListRules(frozenset({"https://idp.example/statuslists/"}))
LISTED = Issuer(ISSUER, status_list=RULES)


def claims_of(**more: Any) -> Claims:
    claims = {"iss": ISSUER, "sub": "robot", "exp": NOW + 300, **more}
    return read_claims(VerifiedToken(ISSUER, "at+jwt", claims, 1))


def referring(uri: object = URI, place: object = 0) -> Claims:
    return claims_of(status={"status_list": {"uri": uri, "idx": place}})


def read(claims: dict[str, Any]) -> StatusList:
    return read_status_list(VerifiedToken(ISSUER, "statuslist+jwt", claims, 1), URI, LISTED, NOW)


def packed(octets: bytes) -> str:
    return urlsafe_b64encode(octets).decode()


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_each_width_is_read_from_the_lowest_bits_up(bits: int) -> None:
    values = [number % (1 << bits) for number in range(64)]
    found = read(list_claims(statuses(values, bits), bits))

    assert [found.status(place) for place in range(64)] == values
    assert found.status(64) is None
    assert (found.ttl, found.expires_at) == (100, NOW + 3600)


def test_the_example_of_the_standard_is_read_as_it_says() -> None:
    """Section 4.1: 0xB9, 0xA3 are these sixteen statuses."""
    found = StatusList(1, bytes([0xB9, 0xA3]))

    assert [found.status(place) for place in range(16)] == [
        1, 0, 0, 1, 1, 1, 0, 1, 1, 1, 0, 0, 0, 1, 0, 1,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (0, None),
        (1, DenyReason.TOKEN_REVOKED),
        (2, DenyReason.TOKEN_REVOKED),
        (3, DenyReason.TOKEN_REVOKED),
        (None, DenyReason.CLAIMS_REFUSED),
    ],
)
def test_only_what_is_valid_passes(status: int | None, reason: DenyReason | None) -> None:
    values = [0, 0, 0, 0] if status is None else [status, 0, 0, 0]
    place = 4 if status is None else 0
    found = read(list_claims(statuses(values, 2), 2))
    if reason is None:
        check_status(found, StatusReference(URI, place))
        return
    with pytest.raises(Denied) as denied:
        check_status(found, StatusReference(URI, place))
    assert denied.value.reason is reason


def test_a_token_says_where_its_status_is() -> None:
    assert read_reference(referring(place=7), LISTED) == StatusReference(URI, 7)


def test_without_the_setting_a_status_is_not_looked_at() -> None:
    assert read_reference(claims_of(status=7), Issuer(ISSUER)) is None


def test_a_token_without_a_status_passes_unless_one_is_required() -> None:
    assert read_reference(claims_of(), LISTED) is None
    with pytest.raises(Denied, match="status is missing"):
        read_reference(claims_of(), replace(LISTED, status_list=replace(RULES, required=True)))


@pytest.mark.parametrize("status", [None, 7, [], {}, {"other": {}}, {"status_list": 7}])
def test_a_status_of_another_kind_is_refused(status: object) -> None:
    """What we do not know might say that the token is revoked."""
    with pytest.raises(Denied, match="status names no status_list"):
        read_reference(claims_of(status=status), LISTED)


@pytest.mark.parametrize("place", [-1, 1.0, "1", None, True, 2**53 + 1])
def test_a_place_is_a_number_from_zero_up(place: object) -> None:
    with pytest.raises(Denied, match="idx"):
        read_reference(referring(place=place), LISTED)


@pytest.mark.parametrize(
    "uri",
    [
        None,
        7,
        "",
        "https://idp.example/",
        "https://idp.example/statuslists",
        "https://idp.example.evil.example/statuslists/1",
        "https://idp.example@evil.example/statuslists/1",
        "http://idp.example/statuslists/1",
        "HTTPS://idp.example/statuslists/1",
        "https://idp.example/statuslists/../admin",
        "https://idp.example/statuslists/./1",
        "https://idp.example/statuslists/%2e%2e/admin",
        "https://idp.example/statuslists/1#a",
        "https://idp.example/statuslists/1\r\nX: y",
        "https://idp.example/statuslists/\\evil",
        "http://169.254.169.254/latest/meta-data/",
        "file:///etc/passwd",
    ],
)
def test_no_other_address_is_ever_fetched(uri: object) -> None:
    """SSRF: the address comes out of a token."""
    with pytest.raises(Denied, match="none of the addresses that the settings allow"):
        read_reference(referring(uri), LISTED)


@pytest.mark.parametrize(
    "changed",
    [
        {"sub": "https://idp.example/statuslists/2"},
        {"sub": None},
        {"iss": "https://other.example"},
        {"iat": None},
        {"iat": NOW + 60},
        {"iat": "now"},
        {"iat": True},
        {"exp": NOW},
        {"exp": "soon"},
        {"exp": 10**400},
        {"ttl": 0},
        {"ttl": -1},
        {"ttl": "a day"},
        {"status_list": None},
        {"status_list": []},
        {"status_list": {"bits": 3, "lst": "eNrbuRgAAhcBXQ"}},
        {"status_list": {"bits": True, "lst": "eNrbuRgAAhcBXQ"}},
        {"status_list": {"bits": 1.0, "lst": "eNrbuRgAAhcBXQ"}},
        {"status_list": {"bits": 1}},
        {"status_list": {"bits": 1, "lst": ""}},
        {"status_list": {"bits": 1, "lst": "ü"}},
        {"status_list": {"bits": 1, "lst": "eNrbuRgAAhcBXQ=="}},
        {"status_list": {"bits": 1, "lst": packed(b"not compressed")}},
        {"status_list": {"bits": 1, "lst": packed(zlib.compress(b"ab")[:-1])}},
        {"status_list": {"bits": 1, "lst": packed(zlib.compress(b"ab") + b"more")}},
        {"status_list": {"bits": 1, "lst": packed(zlib.compress(b""))}},
    ],
)
def test_what_is_no_list_of_the_issuers_is_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(BadStatusList):
        read(list_claims(b"\x00", **changed))


def test_a_bomb_is_stopped_at_the_limit() -> None:
    with pytest.raises(BadStatusList, match="longer than"):
        read(list_claims(b"\x00" * (MAX_INFLATED_BYTES * 20)))
    assert len(read(list_claims(b"\x00" * MAX_INFLATED_BYTES)).octets) == MAX_INFLATED_BYTES


def test_a_list_need_not_say_who_made_it_or_how_long_it_lasts() -> None:
    found = read(list_claims(b"\x00", iss=ISSUER, exp=None, ttl=None))

    assert (found.expires_at, found.ttl) == (None, None)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from(["sub", "iss", "iat", "exp", "ttl", "status_list"]), _JSON))
def test_a_hostile_list_is_refused_and_never_a_surprise(changed: dict[str, Any]) -> None:
    with suppress(BadStatusList):
        read({**list_claims(b"\x00"), **changed})


@given(_JSON)
def test_a_hostile_status_is_refused_and_never_a_surprise(status: Any) -> None:
    with suppress(Denied):
        read_reference(claims_of(status=status), LISTED)
    with suppress(Denied):
        read_reference(claims_of(status={"status_list": status}), LISTED)
