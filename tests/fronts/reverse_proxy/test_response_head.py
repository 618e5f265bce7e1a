import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.fronts.reverse_proxy.response_head import (
    SplitResponse,
    has_body,
    phrase_of,
    write_head,
)


def test_a_head_is_written_octet_for_octet() -> None:
    fields = [(b"Server", b"hoopgateway/1"), (b"set-cookie", b"a=1"), (b"set-cookie", b"b=\xe9")]

    assert write_head(200, b"Fine", fields) == (
        b"HTTP/1.1 200 Fine\r\nServer: hoopgateway/1\r\n"
        b"set-cookie: a=1\r\nset-cookie: b=\xe9\r\n\r\n"
    )


def test_a_head_without_a_phrase_keeps_its_blank() -> None:
    assert write_head(299, b"", []) == b"HTTP/1.1 299 \r\n\r\n"


@pytest.mark.parametrize("octet", [b"\r", b"\n", b"\x00", b"\x7f", b"\x1b"])
def test_an_octet_that_could_end_a_line_is_not_written(octet: bytes) -> None:
    """CVE-2026-34519, CVE-2026-34520: response splitting."""
    with pytest.raises(SplitResponse):
        write_head(200, b"OK", [(b"Location", b"/a" + octet + b"Set-Cookie: x=1")])
    with pytest.raises(SplitResponse):
        write_head(200, b"OK", [(b"Loc" + octet, b"/a")])
    with pytest.raises(SplitResponse):
        write_head(200, b"O" + octet + b"K", [])


@pytest.mark.parametrize("name", [b"", b"a b", b"a:", b"\xe9"])
def test_a_name_that_is_no_token_is_not_written(name: bytes) -> None:
    with pytest.raises(SplitResponse):
        write_head(200, b"OK", [(name, b"x")])


@given(
    st.binary(max_size=20),
    st.lists(st.tuples(st.binary(max_size=12), st.binary(max_size=30)), max_size=5),
)
def test_whatever_is_written_has_as_many_lines_as_fields(
    reason: bytes, fields: list[tuple[bytes, bytes]]
) -> None:
    try:
        head = write_head(200, reason, fields)
    except SplitResponse:
        return
    assert head.count(b"\n") == head.count(b"\r") == len(fields) + 2
    assert head.endswith(b"\r\n\r\n")


@pytest.mark.parametrize(
    ("method", "status", "has"),
    [("GET", 200, True), ("HEAD", 200, False), ("GET", 204, False), ("GET", 304, False),
     ("POST", 101, False), ("DELETE", 500, True)],
)  # fmt: skip
def test_some_responses_never_have_a_body(method: str, status: int, *, has: bool) -> None:
    assert has_body(method, status) is has


def test_a_status_nobody_registered_has_no_phrase() -> None:
    assert phrase_of(404) == b"Not Found"
    assert phrase_of(299) == b""
