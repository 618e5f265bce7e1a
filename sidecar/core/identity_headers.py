"""Identity headers: what upstream is told of the caller, and what a client may never tell it.

2026's live attack class is the alias: ``X_Auth_Subject`` (CVE-2025-64484), then ``X.Auth.Subject``
(CVE-2026-88011), read by upstream as ``X-Auth-Subject``. So names are compared after folding case
and every non-alphanumeric, and every configured header is always set, empty where there is no
value: a header that is merely absent leaves the client's own in place in some chains
(CVE-2026-30851).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol
from urllib.parse import quote

from sidecar.core.principal import Principal

ASSERTION = "assertion"
FIELDS = (
    "subject", "issuer", "name", "groups", "scopes", "client_id", "kind", "request_id", ASSERTION,
)  # fmt: skip

# An alias of a framing header is a second opinion on where the message ends.
_FRAMING = frozenset({"transfer-encoding", "content-length"})


# Longer names are folded anew each time: clients choose them, and would fill the memory.
_LONGEST_REMEMBERED = 64


def fold_name(name: str) -> str:
    """Return the form in which two header names are the same to CGI, WSGI and their kin."""
    return _fold_remembered(name) if len(name) <= _LONGEST_REMEMBERED else _fold(name)


def _fold(name: str) -> str:
    return "".join(c if c.isascii() and c.isalnum() else "-" for c in name.casefold())


@lru_cache(maxsize=4096)
def _fold_remembered(name: str) -> str:
    return _fold(name)


class Asserts(Protocol):
    """Who signs what upstream is told."""

    def assertion(self, principal: Principal) -> str:
        """Return a signed statement of who is calling: for a while the very same one."""


@dataclass(frozen=True)
class IdentityHeaders:
    """The configured names, by field, and the further headers that are always sent empty.

    ``names`` maps members of ``FIELDS`` to header names; a field that is left out is not sent.
    ``asserts`` is who signs, where there is a header for it.
    """

    names: Mapping[str, str]
    cleared: tuple[str, ...] = ()
    asserts: Asserts | None = None

    def __post_init__(self) -> None:
        protected = frozenset(fold_name(name) for name in (*self.names.values(), *self.cleared))
        object.__setattr__(self, "_protected", protected)

    def is_protected(self, name: str) -> bool:
        """Say whether a client's header of this name must go: ours, or an alias of ours."""
        if not name.isascii():
            # No token (RFC 9110, 5.1), and upper() turns a dotless i into I: another alias.
            return True
        folded = fold_name(name)
        protected: frozenset[str] = self.__dict__["_protected"]
        return folded in protected or (folded in _FRAMING and folded != name.casefold())

    def values(self, principal: Principal | None, request_id: str) -> list[tuple[str, str]]:
        """Return every configured header with its value; empty ones for a caller unknown."""
        known = _values(principal) if principal is not None else {}
        known["request_id"] = request_id
        known[ASSERTION] = self.assertion(principal)
        told = [(name, known.get(field, "")) for field, name in self.names.items()]
        told.extend((name, "") for name in self.cleared)
        return told

    def assertion(self, principal: Principal | None) -> str:
        """Return what is signed of this caller now; nothing where nobody signs."""
        if self.asserts is None or principal is None:
            return ""
        return self.asserts.assertion(principal)


def _values(principal: Principal) -> dict[str, str]:
    return {
        "subject": principal.key.subject,
        "issuer": encode_value(principal.issuer),
        "name": encode_value(principal.name),
        "groups": ",".join(principal.groups),
        "scopes": _join(principal.scopes),
        "client_id": encode_value(principal.client_id),
        "kind": principal.kind.value,
    }


def _join(words: Iterable[str]) -> str:
    # A scope out of a JSON list may hold a space, and would read as two scopes.
    return " ".join(sorted(encode_value(word).replace(" ", "%20") for word in words))


def encode_value(text: str) -> str:
    """Return ``text`` as a header value: percent-encoded UTF-8 outside printable ASCII.

    RFC 9110, 5.5: other octets are opaque to the receiver, and CR, LF and NUL end the field.
    """
    if text.isascii() and text.isprintable() and "%" not in text:
        return text
    return quote(text, safe=" !\"#$&'()*+,-./:;<=>?@[\\]^_`{|}~", errors="replace")
