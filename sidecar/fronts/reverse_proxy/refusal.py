"""Our own answers: what a client is told when a request is not forwarded, or upstream fails.

One body for all reasons of one status; the reason is for the log alone. The shape is the Hoop
gateway's, ``{"message": ...}``, so that its clients cannot tell.
"""

import json
from dataclasses import dataclass

from sidecar.core.decision import Deny, DenyReason
from sidecar.fronts.reverse_proxy.response_head import Field
from sidecar.ports import UpstreamError

_MESSAGES = {
    400: "bad request",
    401: "access denied",
    403: "access denied",
    405: "method not allowed",
    413: "request too large",
    500: "internal server error",
    502: "bad gateway",
    503: "service unavailable, try again",
    504: "gateway timeout",
}
_ALLOWED = b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer of ours: status, fields and JSON body."""

    status: int
    fields: tuple[Field, ...]
    body: bytes


def refusal_of(deny: Deny, *, realm: str, request_id: str) -> Refusal:
    """Return what the client is told of a denial."""
    reason = deny.reason
    scopes = deny.route.requirement.scopes if deny.route is not None else frozenset()
    more: list[Field] = []
    challenge = reason.challenge(realm, scopes)
    if challenge is not None:
        more.append((b"WWW-Authenticate", challenge.encode()))
    if reason.retry_after is not None:
        more.append((b"Retry-After", b"%d" % reason.retry_after))
    if reason is DenyReason.METHOD_REFUSED:
        more.append((b"Allow", _ALLOWED))  # RFC 9110, 15.5.6: a 405 MUST have it
    return _refusal(reason.http_status, reason.error_code, request_id, more)


def upstream_refusal(error: UpstreamError, *, request_id: str) -> Refusal:
    """Return what the client is told when upstream did not answer, or not in HTTP."""
    match error:
        case (
            UpstreamError.CONNECT_TIMEOUT
            | UpstreamError.FIRST_BYTE_TIMEOUT
            | UpstreamError.IDLE_TIMEOUT
        ):
            return _refusal(504, "gateway_timeout", request_id)
        case (
            UpstreamError.CONNECT | UpstreamError.TLS | UpstreamError.RESET
            | UpstreamError.MALFORMED
        ):  # fmt: skip
            return _refusal(502, "bad_gateway", request_id)


def _refusal(status: int, error: str, request_id: str, more: list[Field] | None = None) -> Refusal:
    answer = {"message": _MESSAGES[status], "error": error, "request_id": request_id}
    body = json.dumps(answer, separators=(",", ":"))
    fields = (
        (b"Content-Type", b"application/json"),
        # RFC 9111, 3: a shared cache between us and the client must not keep a refusal.
        (b"Cache-Control", b"no-store"),
        *(more or ()),
    )
    return Refusal(status, fields, body.encode())
