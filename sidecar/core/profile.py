"""What an access token has to look like beyond its signature, dates and audience."""

from collections.abc import Collection, Mapping
from enum import StrEnum
from typing import Any

from sidecar.core.decision import Denied, DenyReason

# RFC 9068, 4: "at+jwt" or "application/at+jwt"; "tokens carrying any other value" are rejected.
RFC9068_TOKEN_TYPES = frozenset({"at+jwt", "application/at+jwt"})

# RFC 9068, 2.2. The names alone: what each has to be is read elsewhere where it counts for others.
_REQUIRED = ("iss", "exp", "aud", "sub", "client_id", "iat", "jti")


class Profile(StrEnum):
    """The specification that a provider's tokens keep."""

    JWT = "jwt"
    """RFC 7519 alone: every provider has its own idea of an access token."""
    RFC9068 = "rfc9068"
    """JSON Web Token Profile for OAuth 2.0 Access Tokens."""


def check_needed(raw: Mapping[str, Any], names: Collection[str]) -> None:
    """Judge whether the claims are there and say something; ID tokens lack some of them.

    Raises:
        Denied: CLAIMS_REFUSED, its detail names the claim.
    """
    for name in names:
        if not raw.get(name):
            raise _refused(f"{name} is missing or empty")


def check_rfc9068(raw: Mapping[str, Any]) -> None:
    """Judge the claims by RFC 9068, 2.2; the header's `typ` was judged before.

    Raises:
        Denied: CLAIMS_REFUSED, its detail names the claim.
    """
    for name in _REQUIRED:
        if name not in raw:
            raise _refused(f"{name} is missing, which RFC 9068 requires")
    client = raw["client_id"]
    if not isinstance(client, str) or not client:
        raise _refused("client_id is no text")
    # RFC 9068, 2.2.3 asks for the syntax of RFC 8693, 4.2: one string, parted by spaces.
    if not isinstance(raw.get("scope", ""), str):
        raise _refused("scope is no string")


def _refused(detail: str) -> Denied:
    return Denied(DenyReason.CLAIMS_REFUSED, detail)
