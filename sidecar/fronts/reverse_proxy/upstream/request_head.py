"""Writing a request's head."""

from collections.abc import Iterable

Field = tuple[bytes, bytes]


def write_request_head(method: str, target: str, fields: Iterable[Field]) -> bytes:
    """Return the head's octets, the empty line included.

    Method and target have been judged by ``core.request``, and fields by the parser that read them.
    """
    lines = [f"{method} {target} HTTP/1.1".encode("ascii")]
    lines.extend(b"%b: %b" % field for field in fields)
    lines.append(b"\r\n")
    return b"\r\n".join(lines)
