"""Judging a request's head for what the parser lets through and programs read differently."""

import re
from collections.abc import Sequence

from sidecar.core.decision import Denied, DenyReason
from sidecar.fronts.hop_by_hop import END_TO_END, read_options
from sidecar.fronts.request_head import RequestHead

_MAX_HEAD_OCTETS = 64 * 1024

# RFC 9110, 8.6, but for zeros in front: to some programs they begin an octal number.
_LENGTH = re.compile(rb"0|[1-9][0-9]{0,18}")
_MAX_LENGTH = 2**63 - 1  # what signed readers can hold

# RFC 9110, 7.2: uri-host [":" port]. Userinfo, a path, a list or a blank is somebody's second
# opinion on which host is meant (CVE-2026-48710).
_HOST = re.compile(rb"(?:[A-Za-z0-9._~-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")


def is_host(value: bytes) -> bool:
    """Say whether ``value`` is a host and perhaps a port, and nothing else (RFC 9110, 7.2)."""
    return bool(_HOST.fullmatch(value))


def check_head(head: RequestHead, version: tuple[int, int]) -> None:
    """Refuse what the parser lets through and programs read differently.

    Raises:
        Denied: MALFORMED_REQUEST, or EXPECTATION_REFUSED for an ``Expect`` that we cannot meet.
    """
    if version not in ((1, 0), (1, 1)):
        raise _malformed("neither HTTP/1.0 nor HTTP/1.1")
    if head.octets > _MAX_HEAD_OCTETS:
        raise _malformed("the head is too large")
    if len(head.hosts) != 1:
        # RFC 9112, 3.2: lacking or several Host fields MUST be answered with 400.
        if head.hosts or version != (1, 0):
            raise _malformed("not exactly one Host")
    elif not is_host(head.hosts[0]):
        raise _malformed("Host is not a host and a port")
    _check_framing(head, version)
    if head.connection and not END_TO_END.isdisjoint(read_options(head.connection)):
        raise _malformed("Connection names an end-to-end header")
    _check_expect(head.expect)


def _check_framing(head: RequestHead, version: tuple[int, int]) -> None:
    # An empty or listed coding leaves it to each reader where the message ends. RFC 9112, 6.1: with
    # HTTP/1.0 its framing is faulty.
    if head.transfer_encoding and (
        [value.strip().lower() for value in head.transfer_encoding] != [b"chunked"]
        or version == (1, 0)
    ):
        raise _malformed("Transfer-Encoding is not chunked, or HTTP/1.0")
    # aiohttp's parser takes 2^64-1 for "no length", and would forward it without a body: the next
    # client's request on that connection would be taken for the body.
    if head.content_length and not (
        len(head.content_length) == 1
        and _LENGTH.fullmatch(head.content_length[0])
        and int(head.content_length[0]) <= _MAX_LENGTH
    ):
        raise _malformed("Content-Length is not one length")


def _check_expect(expect: Sequence[bytes]) -> None:
    members = [value.strip().lower() for value in expect]
    if any(each != b"100-continue" for each in members):
        # RFC 9110, 10.1.1: the status for an expectation that is not known.
        raise Denied(DenyReason.EXPECTATION_REFUSED, "an unknown Expect")
    if len(members) > 1:
        raise _malformed("more than one Expect")


def _malformed(detail: str) -> Denied:
    return Denied(DenyReason.MALFORMED_REQUEST, detail)
