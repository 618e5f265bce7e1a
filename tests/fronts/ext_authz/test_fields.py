"""What upstream is told: ours replaces the client's, and every other spelling goes."""

from ipaddress import ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.decision import Denied
from sidecar.core.identity_headers import fold_name
from sidecar.fronts.ext_authz.check import read_check
from sidecar.fronts.ext_authz.fields import FieldRules
from sidecar.fronts.forwarded import TrustedProxies
from tests.fakes.checks import Field, check_of
from tests.fakes.front import IDENTITY
from tests.fakes.world import World

PROXIES = TrustedProxies((ip_network("192.0.2.0/24"),))
NAMES = {"x-auth-subject", "x-auth-name", "x-auth-groups", "x-request-id", "api-key"}


def removed(*fields: Field, trusted: TrustedProxies | None = None, **rules: Any) -> list[str]:
    field_rules = FieldRules(IDENTITY, trusted or TrustedProxies(), **rules)
    check = read_check(check_of(*fields), field_rules.trusted, "request-1")
    return field_rules.to_remove(check)


def told(*authorization: str | bytes, granted: bool = True, **rules: Any) -> dict[str, str]:
    fields = [("authorization", value) for value in authorization]
    check = read_check(check_of(*fields), TrustedProxies(), "request-1")
    principal = None
    if granted:
        world = World()
        world.enroll("robot", "ops")
        principal = getattr(world.ask("GET", "/reports", token=world.sign()), "principal", None)
        assert principal is not None
    return dict(FieldRules(IDENTITY, **rules).to_set(check, principal, "request-1"))


def test_every_identity_header_is_set_whether_or_not_there_is_a_value() -> None:
    """CVE-2026-30851: one that is merely absent leaves the client's own in place."""
    assert told("Bearer x") == {
        "x-auth-subject": "robot",
        "x-auth-name": "Robot",
        "x-auth-groups": "ops",
        "x-request-id": "request-1",
        "api-key": "",
    }
    assert told(granted=False) == {**dict.fromkeys(NAMES, ""), "x-request-id": "request-1"}


def test_the_scheme_is_spelled_as_the_gateway_reads_it() -> None:
    assert told("bEaReR x")["authorization"] == "Bearer x"
    assert "authorization" not in told("bearer x", forward_authorization=False)
    assert "authorization" not in told("bearer x", granted=False)


def test_a_credential_that_is_not_ascii_goes_nowhere() -> None:
    with pytest.raises(Denied):
        told("Basic \xff".encode("latin-1"), granted=False)


@pytest.mark.parametrize(
    "name",
    ["X_Auth_Subject", "x.auth.subject", "X-Auth_Groups", "api_key", "content_length"],
)
def test_every_other_spelling_of_ours_is_removed(name: str) -> None:
    assert removed((name, "root")) == [name.lower()]


def test_what_is_set_is_never_removed() -> None:
    """Envoy removes after it has set: the identity itself would be lost."""
    assert removed(*((name.upper(), "root") for name in NAMES)) == []


def test_a_name_is_removed_once_however_often_it_came() -> None:
    assert removed(("x_auth_name", "a"), ("x_auth_name", "b")) == ["x_auth_name"]


@pytest.mark.parametrize("name", ["x-original-url", "X-Rewrite-URL", "x_http_method_override"])
def test_what_would_change_the_request_is_removed_from_everybody(name: str) -> None:
    assert removed((name, "/admin"), trusted=PROXIES) == [name.lower()]


@pytest.mark.parametrize("name", ["forwarded", "x-real-ip", "x-forwarded-host"])
def test_what_proxies_say_counts_from_trusted_ones_only(name: str) -> None:
    assert removed((name, "evil")) == [name.lower()]
    assert removed((name, "198.51.100.1"), trusted=PROXIES) == []


@pytest.mark.parametrize("name", ["X_Forwarded_For", "x.forwarded.host", "x_real_ip"])
def test_no_proxy_spells_a_name_so_that_it_is_removed_from_everybody(name: str) -> None:
    assert removed((name, "evil"), trusted=PROXIES) == [name.lower()]


@pytest.mark.parametrize(
    "name", ["x-forwarded-for", "x-forwarded-proto", "x-envoy-attempt-count", "te", "upgrade"]
)
def test_what_envoy_writes_itself_stays(name: str) -> None:
    assert removed((name, "1")) == []


@pytest.mark.parametrize("name", ["proxy-authorization", "keep-alive"])
def test_what_is_for_the_next_hop_alone_is_removed(name: str) -> None:
    assert removed((name, "1")) == [name]


def test_the_memory_of_names_is_bounded_and_forgets_no_verdict() -> None:
    rules = FieldRules(IDENTITY)
    names = [f"x-{number}" for number in range(3000)]
    check = read_check(check_of(*((name, "1") for name in names)), TrustedProxies(), "r-1")
    assert rules.to_remove(check) == []
    assert len(rules._kinds) == 2048

    assert removed(("x_auth_subject" + "_" * 60, "root")) == []
    for _ in range(2):
        check = read_check(check_of(("x_auth_subject", "root")), TrustedProxies(), "r-1")
        assert rules.to_remove(check) == ["x_auth_subject"]


def test_the_token_stays_here_where_it_is_not_forwarded() -> None:
    token = ("authorization", "Bearer x")

    assert removed(token) == []
    assert removed(token, forward_authorization=False) == ["authorization"]


@given(
    st.sampled_from(sorted(NAMES)),
    st.lists(st.sampled_from("-_.~!"), min_size=2, max_size=2),
    st.booleans(),
)
def test_upstream_never_sees_a_second_spelling(name: str, marks: list[str], upper: bool) -> None:  # noqa: FBT001
    parts = name.split("-")
    spelled = parts[0] + "".join(mark + part for mark, part in zip(marks, parts[1:], strict=False))
    spelled = spelled.upper() if upper else spelled
    assert fold_name(spelled) == name

    assert removed((spelled, "root")) == ([] if spelled.lower() == name else [spelled.lower()])


@given(st.text(min_size=1, max_size=80).filter(lambda name: not name.startswith(":")))
def test_no_name_of_a_client_makes_it_fail(name: str) -> None:
    names = removed((name, "x"))

    assert names in ([], [name.lower()])
    if not name.isascii():
        assert names
