"""Reading a check: what Envoy says is believed where it is of one voice, and refused else."""

from ipaddress import ip_network

import pytest
from envoy.service.auth.v3.external_auth_pb2 import CheckRequest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.decision import DenyReason
from sidecar.fronts.ext_authz.check import Check, read_check
from sidecar.fronts.forwarded import TrustedProxies
from tests.fakes.checks import HOST, PEER, changed, check_of


def read(message: bytes, *networks: str) -> Check:
    trusted = TrustedProxies(tuple(ip_network(network) for network in networks))
    return read_check(message, trusted, "request-1")


def refused(message: bytes, detail: str = "") -> bool:
    problem = read(message).problem
    return (
        problem is not None
        and problem.reason is DenyReason.MALFORMED_REQUEST
        and detail in problem.detail
    )


@pytest.mark.parametrize("raw", [True, False])
def test_either_form_of_the_header_gives_the_same_access_request(raw: bool) -> None:  # noqa: FBT001
    message = check_of(("authorization", "Bearer x"), target="/reports?a=b", raw=raw)

    check = read(message)

    assert check.problem is None
    asked = check.asked
    assert (asked.method, asked.host, asked.path, asked.query) == ("GET", HOST, "/reports", "a=b")
    assert asked.authorization == ("Bearer x",)
    assert (asked.peer, asked.request_id) == (PEER, "request-1")
    assert check.fields == (("authorization", "Bearer x"),)


def test_lines_of_one_name_stay_apart_where_envoy_tells_them_apart() -> None:
    check = read(check_of(("Authorization", "Bearer a"), ("authorization", "Bearer b")))

    assert check.asked.authorization == ("Bearer a", "Bearer b")


def test_lines_that_envoy_joined_are_one_value_that_is_no_token() -> None:
    check = read(check_of(("authorization", "Bearer a"), ("authorization", "Bearer b"), raw=False))

    assert check.asked.authorization == ("Bearer a,Bearer b",)


@pytest.mark.parametrize("message", [b"\x01", b"\xff\xff", b"\x0a\x05ab"])
def test_what_is_no_check_is_refused(message: bytes) -> None:
    assert refused(message, "no CheckRequest")


def test_text_that_is_not_utf8_is_refused_and_not_an_error() -> None:
    """CVE-2023-27488: a header that broke the call let requests pass where failures did."""
    message = check_of(target="/reports/PLACE", raw=False).replace(
        b"PLACE", b"\xff\xfe\xfd\xfc\xfb"
    )

    assert refused(message, "no CheckRequest")


def test_a_check_of_nothing_is_refused() -> None:
    without_http = CheckRequest()
    without_http.attributes.source.address.socket_address.address = PEER

    assert refused(b"", "no HTTP request")
    assert refused(bytes(without_http.SerializeToString()), "no HTTP request")


def test_a_check_without_a_path_is_refused() -> None:
    """CVE-2026-73547: a request without ``:path``."""
    assert refused(changed(check_of(target=""), path=""), "origin-form")
    assert read(check_of(method="CONNECT", target="")).problem is not None


def test_connect_is_refused_as_the_method_that_it_is() -> None:
    problem = read(check_of(method="CONNECT", target="")).problem

    assert problem is not None
    assert problem.reason is DenyReason.METHOD_REFUSED


def test_a_header_that_is_told_in_both_forms_is_refused() -> None:
    request = CheckRequest.FromString(check_of())
    request.attributes.request.http.headers["authorization"] = "Bearer other"

    assert refused(bytes(request.SerializeToString()), "told twice")


def test_a_check_that_tells_no_header_is_refused() -> None:
    """Nobody could say which identity headers the client sent."""
    request = CheckRequest.FromString(check_of())
    request.attributes.request.http.ClearField("header_map")

    assert refused(bytes(request.SerializeToString()), "no header")


def test_a_field_with_two_values_is_refused() -> None:
    request = CheckRequest.FromString(check_of())
    request.attributes.request.http.header_map.headers.add(key="a", value="b", raw_value=b"c")

    assert refused(bytes(request.SerializeToString()), "two values")


@pytest.mark.parametrize("raw", [True, False])
@pytest.mark.parametrize(
    ("member", "value"), [("method", "POST"), ("path", "/health"), ("host", "other.example")]
)
def test_a_pseudo_header_that_says_otherwise_is_refused(member: str, value: str, raw: bool) -> None:  # noqa: FBT001
    assert refused(changed(check_of(raw=raw), **{member: value}), "is not what the check says")


def test_a_pseudo_header_that_is_there_twice_is_refused() -> None:
    assert refused(check_of((":path", "/reports")), "twice")


@pytest.mark.parametrize("host", ["", "user@a", "a/b", "a, b", "a b", "a:b", "é"])
def test_a_host_that_is_none_is_refused(host: str) -> None:
    request = CheckRequest.FromString(changed(check_of(), host=host))
    for line in request.attributes.request.http.header_map.headers:
        if line.key == ":authority":
            line.raw_value = host.encode()

    assert read(bytes(request.SerializeToString())).problem is not None


def test_a_host_beside_another_authority_is_refused() -> None:
    assert refused(check_of(("host", "other.example")), "not :authority")
    assert read(check_of(("host", HOST))).problem is None


@pytest.mark.parametrize("option", ["authorization", "close, Host"])
def test_a_connection_that_names_what_is_for_upstream_is_refused(option: str) -> None:
    assert refused(check_of(("connection", option)), "end-to-end")


def test_what_envoy_could_not_tell_is_refused_where_it_would_hide() -> None:
    """``!`` stands for octets that are no UTF-8, unless the header is told as it is."""
    assert refused(check_of(target="/public/!", raw=False), "could not tell")
    assert read(check_of(target="/public/!")).problem is None


def test_a_path_is_refused_whose_octets_are_not_those_of_the_header() -> None:
    request = CheckRequest.FromString(check_of(target="/public/!"))
    for line in request.attributes.request.http.header_map.headers:
        if line.key == ":path":
            line.raw_value = b"/public/\xff"

    assert refused(bytes(request.SerializeToString()), ":path")


def test_the_log_gets_a_refused_path_cut_and_without_its_query() -> None:
    target = "/" + "a" * 1000 + "?token=secret"

    check = read(check_of((":path", "x"), target=target))

    assert len(check.asked.path) == 256
    assert check.asked.query == ""


def test_the_client_is_whom_a_trusted_proxy_names() -> None:
    message = check_of(("x-forwarded-for", "198.51.100.1"))

    assert read(message).asked.peer == PEER
    assert read(message, "192.0.2.0/24").asked.peer == "198.51.100.1"
    assert read(message, "192.0.2.0/24").peer == PEER


@pytest.mark.parametrize(
    ("fields", "protocols"),
    [
        ((), ()),
        ((("Upgrade", "h2c"),), ("h2c",)),
        ((("upgrade", "websocket, h2c"),), ("websocket, h2c",)),
        ((("Sec-WebSocket-Key", "x"),), ("websocket",)),  # RFC 6455, 4.1: there is no other
        ((("upgrade", "h2c"), ("sec-websocket-key", "x")), ("h2c", "websocket")),
    ],
)
def test_a_switch_of_protocols_is_seen(
    fields: tuple[tuple[str, str], ...], protocols: tuple[str, ...]
) -> None:
    assert read(check_of(*fields)).asked.switches_to == protocols


@given(st.binary(max_size=200))
def test_no_octets_make_reading_fail(message: bytes) -> None:
    assert read(message).problem is not None


@given(st.data())
def test_no_damage_to_a_check_makes_reading_fail(data: st.DataObject) -> None:
    message = bytearray(check_of(("authorization", "Bearer x")))
    at = data.draw(st.integers(0, len(message) - 1))
    message[at] = data.draw(st.integers(0, 255))

    check = read(bytes(message))

    assert check.problem is not None or check.asked.path.startswith("/")
