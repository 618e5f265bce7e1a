"""The access request, and the strict reading of its target.

Four peers shipped a path bypass in 2026 alone because route rule and upstream read one target
differently (CVE-2026-33494, CVE-2026-42274, CVE-2026-48020, CVE-2026-73511). So a target on which
two programs could disagree is refused, and the rest is matched and forwarded byte for byte.
"""

import re
from dataclasses import dataclass, field
from enum import StrEnum, unique
from urllib.parse import unquote, unquote_plus, unquote_to_bytes

from sidecar.core.confirmation import Shown
from sidecar.core.decision import Denied, DenyReason
from sidecar.core.token_memory import TokenMemory
from sidecar.core.trace import Record, Trace

_REFUSED_METHODS = frozenset({"CONNECT", "TRACE", "TRACK"})
_METHOD = re.compile(r"[A-Z]+(?:-[A-Z]+)*")

# RFC 3986, 3.3: pchar and "/", percent-encoded octets included.
_PLAIN_PATH = re.compile(r"/[A-Za-z0-9._~!$&'()*+,=:@%/-]*")
_QUERY = re.compile(r"[\x21\x22\x24-\x7e]*")  # visible ASCII but "#"
_PATH_PARAMETERS = re.compile(r";[^/]*")
_SLASHES = re.compile(r"/{2,}")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
# NUL and controls, "#", "%", ".", "?" (CVE-2024-38474) and "\": each has been a bypass when one
# side decoded it.
_HOSTILE_ESCAPE = re.compile(r"%(?:[01][0-9A-Fa-f]|7[fF]|23|25|2[eE]|3[fF]|5[cC])")
# Whoever decodes "/" or ";" before resolving dots sees the segment only then, so a tolerated
# encoded slash must not hide one.
_DOT_SEGMENT = re.compile(r"(?:/|%2[fF])\.{1,2}(?:[;/]|%2[fF]|%3[bB]|\Z)")


@unique
class Ambiguity(StrEnum):
    """A spelling that programs read differently; refused unless the settings tolerate it."""

    ENCODED_SLASH = "encoded_slash"
    DOUBLE_SLASH = "double_slash"
    SEMICOLON = "semicolon"


@dataclass(slots=True)
class AccessRequest:
    """What a front asks: may this request pass now?

    ``path`` and ``query`` are the raw target as received (the query without its ``?``);
    ``authorization`` holds the value of every ``Authorization`` line, and is never printed;
    ``host`` is for the log alone: no rule is built on it. ``memory`` is what the front's connection
    remembers between requests that carry the same ``authorization``. ``switches_to`` are the other
    protocols that are asked for (RFC 9110, 7.8), where it is not the front that switches: what
    follows the switch would pass unseen, so the route has to take it. ``own_credential`` says that
    the front has recognised a credential that can be upstream's own only, and never a token.
    ``shown`` is what came beside the token, where tokens may be bound. ``trace`` is the one that
    the request belongs to, where requests are traced.
    """

    method: str
    host: str
    path: str
    query: str
    authorization: tuple[str, ...] = field(repr=False)
    peer: str
    request_id: str
    memory: "TokenMemory | None" = field(default=None, repr=False, compare=False)
    switches_to: tuple[str, ...] = ()
    own_credential: bool = False
    shown: Shown | None = field(default=None, repr=False)
    trace: Trace | None = field(default=None, repr=False, compare=False)

    @property
    def record(self) -> Record | None:
        """What is noted of the request, where it is sampled."""
        return None if self.trace is None else self.trace.record


def check_method(method: str) -> None:
    """Refuse the methods that turn a proxy into a tunnel or a mirror (RFC 9110, 9.3.6, 9.3.8).

    Methods are case-sensitive (9.1) and all registered ones are upper-case. Any other spelling is
    refused: a lenient upstream takes ``get`` for ``GET``, which our routes do not (CVE-2020-14359).

    Raises:
        Denied: METHOD_REFUSED.
    """
    if method in _REFUSED_METHODS:
        raise Denied(DenyReason.METHOD_REFUSED, method)
    if not _METHOD.fullmatch(method):
        raise Denied(DenyReason.METHOD_REFUSED, "not an upper-case method")


def read_target(target: str, method: str) -> tuple[str, str]:
    """Split a request target in origin-form (RFC 9112, 3.2.1) into raw path and raw query.

    ``OPTIONS *`` gives ``("*", "")``. Absolute-form and authority-form are refused: the authority
    in the target would compete with ``Host``.

    Raises:
        Denied: MALFORMED_REQUEST.
    """
    if target == "*" and method == "OPTIONS":
        return "*", ""
    path, _, query = target.partition("?")
    if not path.startswith("/"):
        raise Denied(DenyReason.MALFORMED_REQUEST, "the target is not in origin-form")
    if query and not _QUERY.fullmatch(query):
        raise Denied(DenyReason.MALFORMED_REQUEST, "the query has octets outside RFC 3986")
    return path, query


def check_path(path: str, tolerated: frozenset[Ambiguity] = frozenset()) -> None:
    """Refuse a path on which route matching and upstream could disagree.

    Raises:
        Denied: MALFORMED_REQUEST, its detail says which spelling.
    """
    if path == "*":
        return
    plain = path
    if Ambiguity.SEMICOLON in tolerated:
        plain = plain.replace(";", "")
    if not _PLAIN_PATH.fullmatch(plain):
        problem = "a semicolon" if ";" in path else "octets outside RFC 3986"
        raise Denied(DenyReason.MALFORMED_REQUEST, f"the path has {problem}")
    if "//" in path and Ambiguity.DOUBLE_SLASH not in tolerated:
        raise Denied(DenyReason.MALFORMED_REQUEST, "the path has an empty segment")
    if "." in path and _DOT_SEGMENT.search(path):
        raise Denied(DenyReason.MALFORMED_REQUEST, "the path has a dot segment")
    if "%" in path:
        _check_escapes(path, tolerated)


def is_ambiguous(path: str) -> bool:
    """Say whether a tolerated path still reads differently elsewhere: it never opens a route."""
    return ";" in path or "//" in path or "%2f" in path.lower()


def other_readings(path: str) -> frozenset[str]:
    """Return what lenient programs may read instead of ``path``.

    Percent-encodings resolved (CVE-2026-33494), path parameters dropped (CVE-2026-73511), slashes
    merged (CVE-2021-29492). A route is granted only where all of them lead to the same one.
    """
    if "%" not in path and ";" not in path and "//" not in path:
        return frozenset()
    found = {path, unquote(path)}
    found |= {_PATH_PARAMETERS.sub("", each) for each in found}
    found |= {_SLASHES.sub("/", each) for each in found}
    return frozenset(found - {path})


def names_access_token(query: str) -> bool:
    """Say whether the query carries a bearer token (RFC 6750, 2.3), however it is spelled."""
    query = query.lower()  # some frameworks look parameters up without regard to case
    if "access_token" not in query and "%" not in query:
        return False
    return any(
        unquote_plus(field.partition("=")[0]).lower() == "access_token"
        for field in query.replace(";", "&").split("&")
    )


def _check_escapes(path: str, tolerated: frozenset[Ambiguity]) -> None:
    if _BAD_ESCAPE.search(path):
        raise Denied(DenyReason.MALFORMED_REQUEST, "the path has a broken percent-encoding")
    if _HOSTILE_ESCAPE.search(path):
        raise Denied(DenyReason.MALFORMED_REQUEST, "the path hides an octet behind an encoding")
    try:
        unquote_to_bytes(path).decode()
    except UnicodeDecodeError:
        # Overlong UTF-8 such as %C0%AE has been read as "." by lenient decoders.
        raise Denied(DenyReason.MALFORMED_REQUEST, "the path is not UTF-8") from None
    if "%2f" in path.lower() and Ambiguity.ENCODED_SLASH not in tolerated:
        raise Denied(DenyReason.MALFORMED_REQUEST, "the path has an encoded slash")
