"""A request's head is written octet for octet."""

from sidecar.fronts.reverse_proxy.upstream.request_head import write_request_head


def test_the_head_is_what_was_given_and_ends_with_an_empty_line() -> None:
    octets = write_request_head("GET", "/a%2Fb?x=%41", [(b"Host", b"a"), (b"x-y", b"\xff ,")])

    assert octets == b"GET /a%2Fb?x=%41 HTTP/1.1\r\nHost: a\r\nx-y: \xff ,\r\n\r\n"


def test_a_head_without_fields_ends_too() -> None:
    assert write_request_head("OPTIONS", "*", []) == b"OPTIONS * HTTP/1.1\r\n\r\n"
