"""How a call ends, in gRPC's words: the one place where a denial, a cut or a failure gets them.

One message for all reasons of one code; the reason is for the log alone.
"""

from dataclasses import dataclass

import grpc

from sidecar.core.decision import Deny
from sidecar.core.protection import Realm
from sidecar.fronts.grpc_proxy.metadata import Metadatum
from sidecar.fronts.reverse_proxy.cutting import deny_reason_of, words_of
from sidecar.ports import CutReason, UpstreamError

_CODES: dict[int, grpc.StatusCode] = {code.value[0]: code for code in grpc.StatusCode}
_MESSAGES = {
    grpc.StatusCode.INVALID_ARGUMENT: "bad request",
    grpc.StatusCode.UNAUTHENTICATED: "access denied",
    grpc.StatusCode.PERMISSION_DENIED: "access denied",
    grpc.StatusCode.UNIMPLEMENTED: "method not allowed",
    grpc.StatusCode.DEADLINE_EXCEEDED: "request timeout",
    grpc.StatusCode.RESOURCE_EXHAUSTED: "too many requests",
    grpc.StatusCode.UNAVAILABLE: "service unavailable, try again",
    grpc.StatusCode.INTERNAL: "internal server error",
}


@dataclass(frozen=True, slots=True)
class Status:
    """A call's status, and the trailing metadata that go with it."""

    code: grpc.StatusCode
    details: str = ""
    trailers: tuple[Metadatum, ...] = ()


CLIENT_GONE = Status(grpc.StatusCode.CANCELLED)
GOING_AWAY = Status(grpc.StatusCode.UNAVAILABLE, "going away, try again")
FAILED = Status(grpc.StatusCode.INTERNAL, "internal server error")
TOO_LARGE = Status(grpc.StatusCode.RESOURCE_EXHAUSTED, "message too large")


def status_of(deny: Deny, *, realm: Realm, request_id: str, message: str = "") -> Status:
    """Return what the client is told of a denial.

    The trailers are those headers that HTTP's answer would have (RFC 6750, 3; RFC 9110, 10.2.3),
    and the pause in milliseconds that gRPC's own retries heed.
    """
    reason = deny.reason
    code = _CODES[reason.grpc_code]
    trailers: list[Metadatum] = [("x-request-id", request_id)]
    challenge = deny.challenge(realm)
    if challenge is not None:
        trailers.append(("www-authenticate", challenge))
    if deny.offer is not None and deny.offer.nonce:
        trailers.append(("dpop-nonce", deny.offer.nonce))
    if deny.retry_after is not None:
        trailers.append(("retry-after", str(deny.retry_after)))
        trailers.append(("grpc-retry-pushback-ms", str(deny.retry_after * 1000)))
    return Status(code, message or _MESSAGES[code], tuple(trailers))


def status_of_cut(reason: CutReason, *, realm: Realm, request_id: str) -> Status:
    """Return what the client is told when its call is cut."""
    deny = Deny(deny_reason_of(reason), "cut")
    return status_of(deny, realm=realm, request_id=request_id, message=words_of(reason))


def status_of_failure(error: UpstreamError) -> Status:
    """Return what the client is told when upstream did not answer, or not in gRPC."""
    match error:
        case UpstreamError.MALFORMED:
            return Status(grpc.StatusCode.INTERNAL, "bad answer from upstream")
        case (
            UpstreamError.CONNECT | UpstreamError.CONNECT_TIMEOUT | UpstreamError.TLS
            | UpstreamError.CIRCUIT_OPEN
            | UpstreamError.FIRST_BYTE_TIMEOUT | UpstreamError.IDLE_TIMEOUT | UpstreamError.RESET
        ):  # fmt: skip
            return Status(grpc.StatusCode.UNAVAILABLE, "upstream unavailable, try again")
