"""The head of a response, written byte for byte as upstream gave it.

Not aiohttp's writer: that one adds ``Server`` and ``Date``, folds the order, and cannot write the
octets beyond ASCII that upstreams put into ``Content-Disposition``.
"""

import re
from collections.abc import Sequence
from http import HTTPStatus

from sidecar.fronts.name_memory import NameMemory

Field = tuple[bytes, bytes]

# RFC 9110, 5.5: CR, LF and NUL end a field early, and upstream's parser is lax. 9112, 11.1.
_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


class SplitResponse(Exception):
    """Upstream's head has octets that would end a line of ours."""


def has_body(method: str, status: int) -> bool:
    """Say whether a response has a body at all (RFC 9112, 6.3)."""
    return method != "HEAD" and status >= 200 and status not in (204, 304)


def write_head(status: int, reason: bytes, fields: Sequence[Field]) -> bytes:
    """Return the head's octets, the empty line included.

    The version is ours, whatever the client's (RFC 9110, 2.5).

    Raises:
        SplitResponse: a name is no token, or a value or the reason has control characters.
    """
    parts = [b"HTTP/1.1 %d %b" % (status, reason)]
    values = [reason]
    for name, value in fields:
        parts += (_begun[name], value)
        values.append(value)
    if _CONTROL.search(b"".join(values)):
        raise SplitResponse
    parts.append(b"\r\n\r\n")
    return b"".join(parts)


def _begin_line(name: bytes) -> bytes:
    if not _TOKEN.fullmatch(name):
        raise SplitResponse
    return b"\r\n%b: " % name


_begun = NameMemory(_begin_line)


def phrase_of(status: int) -> bytes:
    """Return the reason phrase that RFC 9110 gives, or none."""
    try:
        return HTTPStatus(status).phrase.encode("ascii")
    except ValueError:
        return b""
