"""The decision and what it means on the wire.

A decision is a value: ``Grant`` or ``Deny``. Its HTTP status, OAuth error code and challenge are
derived here and nowhere else, exhaustively, so that two fronts cannot disagree.
"""

from dataclasses import dataclass, field
from enum import StrEnum, unique
from typing import Protocol, assert_never

from sidecar.core.principal import Caller, Principal
from sidecar.core.proof_offer import ProofOffer
from sidecar.core.protection import Realm
from sidecar.core.rate_limit import Exceeded
from sidecar.core.routes import Route

_GRPC_CODES = {
    400: 3,  # INVALID_ARGUMENT
    401: 16,  # UNAUTHENTICATED
    403: 7,  # PERMISSION_DENIED
    405: 12,  # UNIMPLEMENTED
    408: 4,  # DEADLINE_EXCEEDED
    417: 3,  # INVALID_ARGUMENT
    429: 8,  # RESOURCE_EXHAUSTED
    503: 14,  # UNAVAILABLE
}
_ERROR_CODES = {
    400: "invalid_request",
    401: "invalid_token",
    403: "forbidden",
    405: "method_not_allowed",
    408: "request_timeout",
    417: "expectation_failed",
    429: "rate_limited",
    503: "temporarily_unavailable",
}


@unique
class DenyReason(StrEnum):
    """Why a request was refused. The value is the ``reason`` label of metrics and decision log.

    Clients see ``error_code`` only: within one status the answer does not tell reasons apart.
    """

    MALFORMED_REQUEST = "malformed_request"
    TOO_SLOW = "too_slow"
    UNTRUSTED_PEER = "untrusted_peer"
    METHOD_REFUSED = "method_refused"
    EXPECTATION_REFUSED = "expectation_refused"
    NO_ROUTE = "no_route"
    NO_CREDENTIALS = "no_credentials"
    MALFORMED_CREDENTIALS = "malformed_credentials"
    TOKEN_UNREADABLE = "token_unreadable"  # noqa: S105 - a reason, not a secret
    TOKEN_TOO_LARGE = "token_too_large"  # noqa: S105
    ALGORITHM_REFUSED = "algorithm_refused"
    UNKNOWN_ISSUER = "unknown_issuer"
    UNKNOWN_KEY = "unknown_key"
    BAD_SIGNATURE = "bad_signature"
    TOKEN_EXPIRED = "token_expired"  # noqa: S105
    TOKEN_NOT_YET_VALID = "token_not_yet_valid"  # noqa: S105
    CLAIMS_REFUSED = "claims_refused"
    WRONG_AUDIENCE = "wrong_audience"
    TOKEN_REVOKED = "token_revoked"  # noqa: S105
    TOKEN_INACTIVE = "token_inactive"  # noqa: S105
    SUBJECT_UNKNOWN = "subject_unknown"
    SUBJECT_INACTIVE = "subject_inactive"
    INSUFFICIENT_SCOPE = "insufficient_scope"
    MISSING_GROUP = "missing_group"
    BINDING_MISSING = "binding_missing"
    BINDING_REFUSED = "binding_refused"
    PROOF_REFUSED = "proof_refused"
    PROOF_REPLAYED = "proof_replayed"
    PROOF_WITHOUT_NONCE = "proof_without_nonce"
    KEYS_UNAVAILABLE = "keys_unavailable"
    INTROSPECTION_UNAVAILABLE = "introspection_unavailable"
    STATUS_LIST_UNAVAILABLE = "status_list_unavailable"
    STATUS_UNAVAILABLE = "status_unavailable"
    RATE_LIMITED = "rate_limited"
    TOO_MANY_CONCURRENT = "too_many_concurrent"
    OVERLOADED = "overloaded"
    INTERNAL_ERROR = "internal_error"

    @property
    def http_status(self) -> int:  # noqa: PLR0911 - one of each status
        """Return the HTTP status code of the refusal (RFC 6750, 3.1; RFC 6585, 4; RFC 9110, 15)."""
        match self:
            case DenyReason.MALFORMED_REQUEST | DenyReason.MALFORMED_CREDENTIALS:
                return 400
            case (
                DenyReason.NO_CREDENTIALS | DenyReason.TOKEN_UNREADABLE
                | DenyReason.TOKEN_TOO_LARGE | DenyReason.ALGORITHM_REFUSED
                | DenyReason.UNKNOWN_ISSUER | DenyReason.UNKNOWN_KEY | DenyReason.BAD_SIGNATURE
                | DenyReason.TOKEN_EXPIRED | DenyReason.TOKEN_NOT_YET_VALID
                | DenyReason.CLAIMS_REFUSED | DenyReason.WRONG_AUDIENCE | DenyReason.TOKEN_REVOKED
                | DenyReason.TOKEN_INACTIVE | DenyReason.SUBJECT_UNKNOWN
                | DenyReason.SUBJECT_INACTIVE | DenyReason.BINDING_MISSING
                | DenyReason.BINDING_REFUSED | DenyReason.PROOF_REFUSED
                | DenyReason.PROOF_REPLAYED | DenyReason.PROOF_WITHOUT_NONCE
            ):  # fmt: skip
                return 401
            case (
                DenyReason.UNTRUSTED_PEER | DenyReason.NO_ROUTE
                | DenyReason.INSUFFICIENT_SCOPE | DenyReason.MISSING_GROUP
            ):  # fmt: skip
                return 403
            case DenyReason.METHOD_REFUSED:
                return 405
            case DenyReason.TOO_SLOW:
                return 408
            case DenyReason.EXPECTATION_REFUSED:
                return 417
            case DenyReason.RATE_LIMITED | DenyReason.TOO_MANY_CONCURRENT:
                return 429
            case (
                DenyReason.KEYS_UNAVAILABLE | DenyReason.INTROSPECTION_UNAVAILABLE
                | DenyReason.STATUS_LIST_UNAVAILABLE | DenyReason.STATUS_UNAVAILABLE
                | DenyReason.OVERLOADED
            ):  # fmt: skip
                return 503
            case DenyReason.INTERNAL_ERROR:
                return 500
            case _:
                assert_never(self)

    @property
    def grpc_code(self) -> int:
        """Return the gRPC status code of the refusal. It is never 0, which would be a grant."""
        return _GRPC_CODES.get(self.http_status, 13)  # INTERNAL

    @property
    def error_code(self) -> str:
        """Return the client's ``error`` member: the same word for all reasons of one kind."""
        if self is DenyReason.INSUFFICIENT_SCOPE:
            return "insufficient_scope"
        return _OF_401.get(self) or _ERROR_CODES.get(self.http_status, "server_error")

    def challenge(self, realm: Realm, scopes: frozenset[str] = frozenset()) -> str | None:
        """Return the ``WWW-Authenticate`` value (RFC 6750, 3), or None where none belongs.

        ``scopes`` are the ones the route requires; they are named with insufficient_scope only.
        The realm's metadata are pointed to where a token is missing or no good (RFC 9728, 5.1).
        """
        if self.http_status == 401 or self is DenyReason.MALFORMED_CREDENTIALS:
            error = self.error_code
        elif self is DenyReason.INSUFFICIENT_SCOPE and scopes:
            error = f'{self.error_code}", scope="{" ".join(sorted(scopes))}'
        elif self is DenyReason.INSUFFICIENT_SCOPE:
            error = self.error_code
        else:
            return None
        challenge = f'Bearer realm="{realm.name}"'
        if self is not DenyReason.NO_CREDENTIALS:
            challenge += f', error="{error}"'
        if self.http_status == 401 and realm.metadata_url is not None:
            challenge += f', resource_metadata="{realm.metadata_url}"'
        return challenge

    @property
    def retry_after(self) -> int | None:
        """Return the seconds for ``Retry-After``, where waiting can help."""
        return 1 if self.http_status in (429, 503) else None


_OF_401 = {
    # RFC 6750, 3.1: without authentication information the challenge SHOULD NOT include an error
    # code; the body still names the status in a word.
    DenyReason.NO_CREDENTIALS: "unauthorized",
    # RFC 9449, 7.1 and 9: what is wrong with the proof is told, as clients have to act on it.
    DenyReason.PROOF_REFUSED: "invalid_dpop_proof",
    DenyReason.PROOF_REPLAYED: "invalid_dpop_proof",
    DenyReason.PROOF_WITHOUT_NONCE: "use_dpop_nonce",
}


class NotABool:
    """A decision is not a bool: every dataclass is truthy, so ``if decision:`` would grant."""

    __slots__ = ()

    def __bool__(self) -> bool:
        raise TypeError("a decision is not a bool; match on Grant and Deny")


class Slot(Protocol):
    """A place among what a caller may have in flight at one time."""

    def take(self) -> None:
        """Fill it: the request is in flight."""
        ...

    def give_back(self) -> None:
        """Free it: the request has ended, in whatever way."""
        ...


@dataclass(frozen=True, slots=True)
class Deny(NotABool):
    """The request may not pass. ``detail`` is for our log; the client never sees it.

    ``caller`` is known where the token's signature was good, ``exceeded`` where a limit was.
    ``offer`` is what the client is told of DPoP, where that is taken.
    """

    reason: DenyReason
    detail: str = ""
    route: Route | None = None
    caller: Caller | None = None
    offer: ProofOffer | None = None
    exceeded: Exceeded | None = None

    @property
    def retry_after(self) -> int | None:
        """Return the seconds for ``Retry-After``, where waiting can help."""
        return self.reason.retry_after if self.exceeded is None else self.exceeded.retry_after

    def challenge(self, realm: Realm) -> str | None:
        """Return the ``WWW-Authenticate`` value, or None where none belongs."""
        scopes = frozenset() if self.route is None else self.route.requirement.scopes
        return challenge_of(self.reason, realm, scopes, self.offer)


@dataclass(frozen=True, slots=True)
class Grant(NotABool):
    """The request may pass. ``principal`` is None where the route asks for no bearer.

    ``slot`` is its caller's, for as long as the request is in flight, where these are limited.
    ``shadowed`` is the denial that it would have been, were its route enforced: then there is no
    principal, as nobody vouches for the request.
    """

    route: Route
    principal: Principal | None = None
    slot: Slot | None = field(default=None, repr=False, compare=False)
    shadowed: Deny | None = None


def challenge_of(
    reason: DenyReason, realm: Realm, scopes: frozenset[str], offer: ProofOffer | None
) -> str | None:
    """Return the ``WWW-Authenticate`` value of a denial, or None where none belongs."""
    challenge = reason.challenge(realm, scopes)
    return challenge if challenge is None or offer is None else offer.beside(challenge, realm.name)


Decision = Grant | Deny


def denial_in(decision: Decision) -> Deny | None:
    """Return the denial, also one that its route's shadow lets pass; None for a plain grant."""
    return decision.shadowed if isinstance(decision, Grant) else decision


def caller_in(decision: Decision) -> Principal | Caller | None:
    """Return who asked, as far as a good signature says so."""
    denial = denial_in(decision)
    if denial is not None:
        return denial.caller
    return decision.principal if isinstance(decision, Grant) else None


class Denied(Exception):
    """Raised by a check; ``authorize`` turns it into a ``Deny`` in one place."""

    def __init__(self, reason: DenyReason, detail: str = "") -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail
