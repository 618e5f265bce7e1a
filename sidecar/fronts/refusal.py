"""Our own answers: what a client is told when a request is not forwarded, or upstream fails.

One body for all reasons of one status; the reason is for the log alone. The shape is the Hoop
gateway's, ``{"message": ...}``, so that its clients cannot tell.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from sidecar.core.decision import Deny, DenyReason, challenge_of
from sidecar.core.proof_offer import ProofOffer
from sidecar.core.protection import Realm
from sidecar.core.rate_limit import Exceeded
from sidecar.ports import UpstreamError

Field = tuple[bytes, bytes]

_MESSAGES = {
    400: "bad request",
    401: "access denied",
    403: "access denied",
    405: "method not allowed",
    408: "request timeout",
    413: "request too large",
    417: "expectation failed",
    429: "too many requests",
    500: "internal server error",
    502: "bad gateway",
    503: "service unavailable, try again",
    504: "gateway timeout",
}
_NO_SCOPES: frozenset[str] = frozenset()
_ALLOWED = b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer of ours: status, fields and JSON body."""

    status: int
    fields: tuple[Field, ...]
    body: bytes


@dataclass(frozen=True, slots=True)
class _Template:
    """A refusal up to the request's id, which comes last in its body."""

    status: int
    fields: tuple[Field, ...]
    body: str

    def of(self, request_id: str) -> Refusal:
        """Return the refusal of one request. The id is one of ours: there is nothing to escape."""
        return Refusal(self.status, self.fields, f'{self.body}{request_id}"}}'.encode())


def refusal_of(deny: Deny, *, realm: Realm, request_id: str) -> Refusal:
    """Return what the client is told of a denial."""
    scopes = deny.route.requirement.scopes if deny.route is not None else _NO_SCOPES
    return _template(deny.reason, realm, scopes, deny.offer, deny.exceeded).of(request_id)


@lru_cache(maxsize=1024)  # reasons, times the sets of scopes in the settings; some nonces, pauses
def _template(
    reason: DenyReason,
    realm: Realm,
    scopes: frozenset[str],
    offer: ProofOffer | None,
    exceeded: Exceeded | None,
) -> _Template:
    more: list[Field] = []
    challenge = challenge_of(reason, realm, scopes, offer)
    if challenge is not None:
        more.append((b"WWW-Authenticate", challenge.encode()))
    if offer is not None and offer.nonce:
        more.append((b"DPoP-Nonce", offer.nonce.encode()))  # RFC 9449, 9
    if exceeded is not None:
        more.extend(_limit_fields(exceeded))
    elif reason.retry_after is not None:
        more.append((b"Retry-After", b"%d" % reason.retry_after))
    if reason is DenyReason.METHOD_REFUSED:
        more.append((b"Allow", _ALLOWED))  # RFC 9110, 15.5.6: a 405 MUST have it
    return _prepare(reason.http_status, reason.error_code, tuple(more))


def _limit_fields(exceeded: Exceeded) -> Iterator[Field]:
    yield b"Retry-After", b"%d" % exceeded.retry_after
    if exceeded.window:
        # draft-ietf-httpapi-ratelimit-headers-10, 3 and 4: what is allowed, and what is left of it.
        policy = exceeded.policy.encode()
        yield b"RateLimit-Policy", b'"%b";q=%d;w=%d' % (policy, exceeded.quota, exceeded.window)
        yield b"RateLimit", b'"%b";r=0;t=%d' % (policy, exceeded.retry_after)


def upstream_refusal(error: UpstreamError, *, request_id: str) -> Refusal:
    """Return what the client is told when upstream did not answer, or not in HTTP."""
    match error:
        case (
            UpstreamError.CONNECT_TIMEOUT
            | UpstreamError.FIRST_BYTE_TIMEOUT
            | UpstreamError.IDLE_TIMEOUT
        ):
            return _prepare(504, "gateway_timeout").of(request_id)
        case (
            UpstreamError.CONNECT | UpstreamError.TLS | UpstreamError.RESET
            | UpstreamError.MALFORMED
        ):  # fmt: skip
            return _prepare(502, "bad_gateway").of(request_id)
        case UpstreamError.CIRCUIT_OPEN:
            soon = (b"Retry-After", b"1")
            return _prepare(503, "temporarily_unavailable", (soon,)).of(request_id)


def _prepare(status: int, error: str, more: tuple[Field, ...] = ()) -> _Template:
    answer = {"message": _MESSAGES[status], "error": error, "request_id": ""}
    fields = (
        (b"Content-Type", b"application/json"),
        # RFC 9111, 3: a shared cache between us and the client must not keep a refusal.
        (b"Cache-Control", b"no-store"),
        *more,
    )
    return _Template(status, fields, json.dumps(answer, separators=(",", ":")).removesuffix('"}'))
