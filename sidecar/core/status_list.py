"""Token Status List (draft-ietf-oauth-status-list-21): one bit or more for each token of an issuer.

A token says which list and which place in it; the list is a token of its own, signed by the same
issuer. What is not plainly VALID is refused.
"""

import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from joserfc.util import urlsafe_b64decode

from sidecar.core.claims import Claims
from sidecar.core.decision import Denied, DenyReason
from sidecar.core.issuer import Issuer
from sidecar.core.principal import StatusReference
from sidecar.core.token import VerifiedToken

STATUS_LIST_TYPES = frozenset({"statuslist+jwt", "application/statuslist+jwt"})
MAX_INFLATED_BYTES = 4 * 1024 * 1024

_BITS = (1, 2, 4, 8)
_VALID = 0
_NAMES = {1: "invalid", 2: "suspended"}
_LAST_DATE = 2.0**53
_LAST_INDEX = 2**53
# What may follow the part of the address that the settings name.
_REST = re.compile(r"[A-Za-z0-9._~/-]*(?:\?[A-Za-z0-9._~=&-]*)?")


class BadStatusList(ValueError):
    """This is no status list of the issuer's; the text quotes nothing of it."""


@dataclass(frozen=True, slots=True)
class StatusList:
    """The statuses, ``bits`` wide each.

    ``expires_at`` is in epoch seconds, ``ttl`` in seconds; None where the list does not say.
    """

    bits: int
    octets: bytes = field(repr=False)
    expires_at: float | None = None
    ttl: float | None = None

    def status(self, index: int) -> int | None:
        """Return the status at a place, or None beyond the list's end (section 4.1)."""
        each = 8 // self.bits
        place, within = divmod(index, each)
        if place >= len(self.octets):
            return None
        return (self.octets[place] >> (within * self.bits)) & ((1 << self.bits) - 1)


def read_reference(claims: Claims, issuer: Issuer) -> StatusReference | None:
    """Return where a token's status is; None where its issuer has no lists, or need not have one.

    Raises:
        Denied: CLAIMS_REFUSED; the detail quotes nothing.
    """
    rules = issuer.status_list
    if rules is None:
        return None
    if "status" not in claims.raw:
        if rules.required:
            raise _refused("status is missing")
        return None
    status = claims.raw["status"]
    # Another mechanism than a list may say that it is revoked: not to know it is not to trust it.
    listed = status.get("status_list") if isinstance(status, dict) else None
    if not isinstance(listed, dict):
        raise _refused("status names no status_list")
    uri, index = listed.get("uri"), listed.get("idx")
    if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index <= _LAST_INDEX:
        raise _refused("idx is no place in a list")
    if not isinstance(uri, str) or not _is_allowed(uri, rules.uris):
        raise _refused("the status list is at none of the addresses that the settings allow")
    return StatusReference(uri, index)


def check_status(found: StatusList, reference: StatusReference) -> None:
    """Refuse a token that its list does not call valid.

    Raises:
        Denied: TOKEN_REVOKED, or CLAIMS_REFUSED for a place that the list does not have.
    """
    status = found.status(reference.place)
    if status is None:
        raise _refused("idx is beyond the end of the list")
    if status != _VALID:
        name = _NAMES.get(status, "not valid")
        raise Denied(DenyReason.TOKEN_REVOKED, f"{name} by its status list")


def read_status_list(token: VerifiedToken, uri: str, issuer: Issuer, now: float) -> StatusList:
    """Read a list whose signature is good, as of ``now`` (epoch seconds; section 8.3).

    Raises:
        BadStatusList: it is another list, too old, or malformed.
    """
    claims = token.claims
    # Else the issuer's list of one kind of tokens could be shown for another.
    if claims.get("sub") != uri:
        raise BadStatusList("sub is not the list's address")
    if claims.get("iss", issuer.name) != issuer.name:
        raise BadStatusList("iss is another's")
    issued_at, expires_at = _date(claims, "iat"), _date(claims, "exp")
    if issued_at is None or issued_at > now + max(issuer.leeway, 1.0):
        raise BadStatusList("iat is missing, or in the future")
    if expires_at is not None and expires_at <= now:
        raise BadStatusList("it has expired")
    ttl = _date(claims, "ttl")
    if ttl == 0:
        raise BadStatusList("ttl is not positive")
    listed = claims.get("status_list")
    if not isinstance(listed, dict) or listed.get("bits") not in _BITS:
        raise BadStatusList("status_list is missing, or bits is none of 1, 2, 4 and 8")
    bits = listed["bits"]
    if isinstance(bits, bool | float):
        raise BadStatusList("bits is no integer")
    return StatusList(bits, _inflate(listed.get("lst")), expires_at, ttl)


def _inflate(text: Any) -> bytes:
    if not isinstance(text, str):
        raise BadStatusList("lst is missing")
    try:
        compressed = urlsafe_b64decode(text.encode("ascii"))
        inflater = zlib.decompressobj()
        octets = inflater.decompress(compressed, MAX_INFLATED_BYTES)
    except (ValueError, zlib.error):
        raise BadStatusList("lst is no compressed list") from None
    if inflater.unconsumed_tail:
        raise BadStatusList(f"the list is longer than {MAX_INFLATED_BYTES} bytes")
    if not inflater.eof or inflater.unused_data or not octets:
        raise BadStatusList("lst is cut off, or more than a list")
    return octets


def _is_allowed(uri: str, prefixes: frozenset[str]) -> bool:
    for prefix in prefixes:
        if uri.startswith(prefix):
            rest = uri.removeprefix(prefix)
            segments = rest.partition("?")[0].split("/")
            return _REST.fullmatch(rest) is not None and not {".", ".."}.intersection(segments)
    return False


def _date(claims: Mapping[str, Any], name: str) -> float | None:
    if name not in claims:
        return None
    value = claims[name]
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or not 0 <= value <= _LAST_DATE
    ):
        raise BadStatusList(f"{name} is no date, or no number of seconds")
    return float(value)


def _refused(detail: str) -> Denied:
    return Denied(DenyReason.CLAIMS_REFUSED, detail)
