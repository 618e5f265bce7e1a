"""What each decision means on the wire, in one table."""

import pytest

from sidecar.core.decision import Denied, Deny, DenyReason, Grant
from sidecar.core.protection import Realm
from sidecar.core.routes import Route

R = DenyReason
API = Realm("api")
INVALID = 'Bearer realm="api", error="invalid_token"'

# reason: status, error, challenge without scopes, Retry-After
WIRE = {
    R.MALFORMED_REQUEST: (400, "invalid_request", None, None),
    R.MALFORMED_CREDENTIALS: (
        400,
        "invalid_request",
        'Bearer realm="api", error="invalid_request"',
        None,
    ),
    R.NO_CREDENTIALS: (401, "unauthorized", 'Bearer realm="api"', None),
    R.TOKEN_UNREADABLE: (401, "invalid_token", INVALID, None),
    R.TOKEN_TOO_LARGE: (401, "invalid_token", INVALID, None),
    R.ALGORITHM_REFUSED: (401, "invalid_token", INVALID, None),
    R.UNKNOWN_ISSUER: (401, "invalid_token", INVALID, None),
    R.UNKNOWN_KEY: (401, "invalid_token", INVALID, None),
    R.BAD_SIGNATURE: (401, "invalid_token", INVALID, None),
    R.TOKEN_EXPIRED: (401, "invalid_token", INVALID, None),
    R.TOKEN_NOT_YET_VALID: (401, "invalid_token", INVALID, None),
    R.CLAIMS_REFUSED: (401, "invalid_token", INVALID, None),
    R.WRONG_AUDIENCE: (401, "invalid_token", INVALID, None),
    R.TOKEN_REVOKED: (401, "invalid_token", INVALID, None),
    R.TOKEN_INACTIVE: (401, "invalid_token", INVALID, None),
    R.SUBJECT_UNKNOWN: (401, "invalid_token", INVALID, None),
    R.SUBJECT_INACTIVE: (401, "invalid_token", INVALID, None),
    R.BINDING_MISSING: (401, "invalid_token", INVALID, None),
    R.BINDING_REFUSED: (401, "invalid_token", INVALID, None),
    R.PROOF_REFUSED: (
        401,
        "invalid_dpop_proof",
        'Bearer realm="api", error="invalid_dpop_proof"',
        None,
    ),
    R.PROOF_REPLAYED: (
        401,
        "invalid_dpop_proof",
        'Bearer realm="api", error="invalid_dpop_proof"',
        None,
    ),
    R.PROOF_WITHOUT_NONCE: (
        401,
        "use_dpop_nonce",
        'Bearer realm="api", error="use_dpop_nonce"',
        None,
    ),
    R.UNTRUSTED_PEER: (403, "forbidden", None, None),
    R.NO_ROUTE: (403, "forbidden", None, None),
    R.MISSING_GROUP: (403, "forbidden", None, None),
    R.INSUFFICIENT_SCOPE: (
        403,
        "insufficient_scope",
        'Bearer realm="api", error="insufficient_scope"',
        None,
    ),
    R.TOO_SLOW: (408, "request_timeout", None, None),
    R.METHOD_REFUSED: (405, "method_not_allowed", None, None),
    R.EXPECTATION_REFUSED: (417, "expectation_failed", None, None),
    R.KEYS_UNAVAILABLE: (503, "temporarily_unavailable", None, 1),
    R.INTROSPECTION_UNAVAILABLE: (503, "temporarily_unavailable", None, 1),
    R.STATUS_LIST_UNAVAILABLE: (503, "temporarily_unavailable", None, 1),
    R.STATUS_UNAVAILABLE: (503, "temporarily_unavailable", None, 1),
    R.RATE_LIMITED: (429, "rate_limited", None, 1),
    R.TOO_MANY_CONCURRENT: (429, "rate_limited", None, 1),
    R.OVERLOADED: (503, "temporarily_unavailable", None, 1),
    R.INTERNAL_ERROR: (500, "server_error", None, None),
}


def test_every_reason_has_its_row() -> None:
    assert set(WIRE) == set(DenyReason)


@pytest.mark.parametrize("reason", list(DenyReason))
def test_a_reason_on_the_wire(reason: DenyReason) -> None:
    wire = (reason.http_status, reason.error_code, reason.challenge(API), reason.retry_after)

    assert wire == WIRE[reason]


@pytest.mark.parametrize("reason", list(DenyReason))
def test_a_reason_in_grpc_is_what_its_http_status_is(reason: DenyReason) -> None:
    codes = {400: 3, 401: 16, 403: 7, 405: 12, 408: 4, 417: 3, 429: 8, 500: 13, 503: 14}

    assert reason.grpc_code == codes[reason.http_status]


def test_only_insufficient_scope_names_the_scopes() -> None:
    """The scopes of a route are nobody's business who has no good token."""
    scopes = frozenset({"write", "read"})

    assert R.INSUFFICIENT_SCOPE.challenge(API, scopes) == (
        'Bearer realm="api", error="insufficient_scope", scope="read write"'
    )
    for reason in set(DenyReason) - {R.INSUFFICIENT_SCOPE}:
        assert reason.challenge(API, scopes) == WIRE[reason][2]


def test_a_client_cannot_tell_why_its_token_failed() -> None:
    """An answer that told unknown from inactive subjects would list the accounts."""
    failed = {R.SUBJECT_UNKNOWN, R.SUBJECT_INACTIVE, R.TOKEN_REVOKED, R.BAD_SIGNATURE}

    assert len({WIRE[reason] for reason in failed}) == 1


@pytest.mark.parametrize(
    "decision", [Grant(Route("r", "/")), Deny(R.NO_ROUTE)], ids=["grant", "deny"]
)
def test_a_decision_is_no_bool(decision: Grant | Deny) -> None:
    """Every dataclass is truthy: ``if decision`` would let a denial pass."""
    with pytest.raises(TypeError):
        bool(decision)
    with pytest.raises(TypeError):
        not decision  # noqa: B018


def test_a_denial_says_why_in_our_log_only() -> None:
    denied = Denied(R.BAD_SIGNATURE, "detail")

    assert (denied.reason, denied.detail) == (R.BAD_SIGNATURE, "detail")
    assert Denied(R.NO_ROUTE).detail == ""


def test_where_the_metadata_are_is_said_with_every_401_and_nothing_else() -> None:
    """RFC 9728, 5.1; the errors of RFC 6750 stay as they are."""
    realm = Realm("api", "https://api.example/.well-known/oauth-protected-resource")

    for reason in R:
        plain, pointed = reason.challenge(API), reason.challenge(realm)
        if reason.http_status == 401:
            assert pointed == f'{plain}, resource_metadata="{realm.metadata_url}"'
        else:
            assert pointed == plain
