import pytest

from sidecar.core.decision import Denied, DenyReason
from sidecar.fronts.head_check import check_head
from sidecar.fronts.request_head import HeadRules, RequestHead
from tests.fakes.front import IDENTITY

RULES = HeadRules(IDENTITY)
HOST = (b"Host", b"sidecar.example")


def head(*fields: tuple[bytes, bytes]) -> RequestHead:
    return RULES.read(fields)


@pytest.mark.parametrize("host", [b"a", b"a.example:8080", b"[::1]:80", b"a_b-c.~d", b"127.0.0.1"])
def test_one_host_and_port_is_a_host(host: bytes) -> None:
    check_head(head((b"Host", host)), (1, 1))


@pytest.mark.parametrize(
    "fields",
    [
        [],
        [(b"Host", b"a"), (b"Host", b"a")],
        [(b"Host", b"")],
        [(b"Host", b"a b")],
        [(b"Host", b"a,b")],
        [(b"Host", b"user@a")],
        [(b"Host", b"a/b")],
        [(b"Host", b"a?b")],
        [(b"Host", b"a#b")],
        [(b"Host", b"a:port")],
        [(b"Host", b"a:123456")],
        [(b"Host", b"[::1")],
        [(b"Host", b"\xc3\xa9")],
        [(b"Host", b"a\n")],
    ],
    ids=repr,
)
def test_what_names_no_one_host_is_refused(fields: list[tuple[bytes, bytes]]) -> None:
    """P8, P9; CVE-2026-34525, CVE-2026-48710."""
    with pytest.raises(Denied) as denied:
        check_head(head(*fields), (1, 1))

    assert denied.value.reason is DenyReason.MALFORMED_REQUEST


def test_http_1_0_may_come_without_a_host() -> None:
    check_head(head(), (1, 0))

    assert head().host == ""


@pytest.mark.parametrize(
    "field",
    [
        (b"Transfer-Encoding", b""),
        (b"Transfer-Encoding", b",chunked"),
        (b"Transfer-Encoding", b"gzip, chunked"),
        (b"Transfer-Encoding", b"identity"),
        (b"Connection", b"close, Authorization"),
        (b"Connection", b"HOST"),
        (b"Connection", b"content-length"),
        (b"Content-Length", b"18446744073709551615"),
        (b"Content-Length", b"05"),
        (b"Content-Length", b"00"),
        (b"Content-Length", b"9223372036854775808"),
        (b"Content-Length", b"1, 1"),
        (b"Content-Length", b"+1"),
        (b"Content-Length", b"0x1"),
        (b"Content-Length", b"1" * 5000),
        (b"Content-Length", b""),
    ],
    ids=lambda field: repr(field)[:60],
)
def test_fields_that_programs_read_differently_are_refused(field: tuple[bytes, bytes]) -> None:
    """P2, P14, P20."""
    with pytest.raises(Denied) as denied:
        check_head(head(HOST, field), (1, 1))

    assert denied.value.reason is DenyReason.MALFORMED_REQUEST


@pytest.mark.parametrize("expect", [[b"200-ok"], [b""], [b"100-continue", b"200-ok"]])
def test_an_expectation_that_is_not_known_is_told_so(expect: list[bytes]) -> None:
    """P20; RFC 9110, 10.1.1."""
    with pytest.raises(Denied) as denied:
        check_head(head(HOST, *((b"Expect", each) for each in expect)), (1, 1))

    assert denied.value.reason is DenyReason.EXPECTATION_REFUSED


def test_one_wish_to_be_told_to_continue_is_met_and_two_are_not() -> None:
    expect = (b"Expect", b"100-Continue")
    check_head(head(HOST, expect), (1, 1))

    with pytest.raises(Denied):
        check_head(head(HOST, expect, expect), (1, 1))


def test_two_codings_are_refused_and_one_chunked_is_not() -> None:
    chunked = (b"Transfer-Encoding", b" Chunked ")
    check_head(head(HOST, chunked), (1, 1))

    with pytest.raises(Denied):
        check_head(head(HOST, chunked, chunked), (1, 1))


@pytest.mark.parametrize("length", [b"0", b"5", b"9223372036854775807"])
def test_one_length_is_a_length_and_goes_on(length: bytes) -> None:
    read = head(HOST, (b"Content-Length", length))

    check_head(read, (1, 1))

    assert read.kept == [(b"Content-Length", length)]
    assert read.announces_body is (length != b"0")
    assert not head(HOST).announces_body


def test_two_lengths_are_refused() -> None:
    with pytest.raises(Denied):
        check_head(head(HOST, *[(b"Content-Length", b"5")] * 2), (1, 1))


@pytest.mark.parametrize("version", [(0, 9), (1, 2), (2, 0)])
def test_other_versions_are_refused(version: tuple[int, int]) -> None:
    with pytest.raises(Denied):
        check_head(head(HOST), version)


def test_http_1_0_has_no_codings() -> None:
    with pytest.raises(Denied):
        check_head(head(HOST, (b"Transfer-Encoding", b"chunked")), (1, 0))


def test_a_head_is_bounded_as_a_whole() -> None:
    """P17: many headers, each within its own bound."""
    with pytest.raises(Denied):
        check_head(head(HOST, *[(b"X-%d" % each, b"x" * 8000) for each in range(9)]), (1, 1))
