"""Strict reading of the ``Authorization`` header (RFC 6750, 2.1)."""

import re
from collections.abc import Sequence
from typing import NewType

from sidecar.core.decision import Denied, DenyReason

BearerToken = NewType("BearerToken", str)

_B64TOKEN = re.compile(r"[A-Za-z0-9\-._~+/]+=*")


def read_bearer(
    authorization: Sequence[str], max_token_bytes: int, *, takes_dpop: bool = False
) -> BearerToken:
    """Return the one bearer token of a request; with ``takes_dpop`` also one under ``DPoP``.

    Raises:
        Denied: NO_CREDENTIALS where no bearer was offered (none at all, or another scheme),
            MALFORMED_CREDENTIALS where one was offered in a form that programs read differently
            (several lines, a list, extra white space), TOKEN_TOO_LARGE over ``max_token_bytes``.
    """
    if not authorization:
        raise Denied(DenyReason.NO_CREDENTIALS, "no Authorization header")
    # RFC 9110, 5.3: not a list field, so two lines are an error, and which one wins differs
    # between programs: gin reads the first, others the last or both.
    if len(authorization) > 1:
        raise Denied(DenyReason.MALFORMED_CREDENTIALS, "several Authorization lines")
    value = authorization[0]
    scheme, space, token = value.partition(" ")
    # RFC 9110, 11.1: the scheme is case-insensitive.
    if scheme.lower() != "bearer" and not (takes_dpop and is_dpop(value)):
        if "bearer" in value.lower():
            raise Denied(DenyReason.MALFORMED_CREDENTIALS, "a bearer hides in another scheme")
        raise Denied(DenyReason.NO_CREDENTIALS, "the scheme is not Bearer")
    if not space or not token:
        raise Denied(DenyReason.MALFORMED_CREDENTIALS, "the scheme without a token")
    if len(token) > max_token_bytes:
        raise Denied(DenyReason.TOKEN_TOO_LARGE, f"more than {max_token_bytes} bytes")
    if not _B64TOKEN.fullmatch(token):
        raise Denied(DenyReason.MALFORMED_CREDENTIALS, "the token is not a b64token")
    return BearerToken(token)


def canonical(value: str) -> str:
    """Return a credential's header value as the Hoop gateway reads it: exactly ``Bearer``.

    RFC 9110, 11.1 lets the client write ``bearer``. What came under ``DPoP`` was proven here, and
    upstream does not know that scheme.
    """
    return value if is_canonical(value) else "Bearer " + value.partition(" ")[2]


def is_canonical(value: str) -> bool:
    """Say whether the header value is spelled ``Bearer <token>``, as the Hoop gateway demands."""
    return value.startswith("Bearer ")


def is_dpop(value: str) -> bool:
    """Say whether the header value is under the scheme ``DPoP`` (RFC 9449, 7.1)."""
    return value[:4].lower() == "dpop" and value[4:5] in ("", " ")
