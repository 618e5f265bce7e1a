import json

import pytest

from sidecar.core.decision import Deny, DenyReason
from sidecar.core.protection import SIDECAR
from sidecar.core.rate_limit import Exceeded
from sidecar.core.routes import Requirement, Route
from sidecar.fronts.refusal import Refusal, refusal_of, upstream_refusal
from sidecar.ports import UpstreamError


def refuse(reason: DenyReason, route: Route | None = None) -> Refusal:
    return refusal_of(Deny(reason, "a detail", route), realm=SIDECAR, request_id="r-1")


OF_PROOFS = (
    DenyReason.PROOF_REFUSED,
    DenyReason.PROOF_REPLAYED,
    DenyReason.PROOF_WITHOUT_NONCE,
)


@pytest.mark.parametrize("reason", list(DenyReason), ids=lambda reason: reason.value)
def test_every_reason_has_an_answer_that_leaks_nothing(reason: DenyReason) -> None:
    refusal = refuse(reason)
    body = json.loads(refusal.body)

    assert refusal.status == reason.http_status
    assert set(body) == {"message", "error", "request_id"}
    assert b"a detail" not in refusal.body
    assert (b"Cache-Control", b"no-store") in refusal.fields


def test_one_status_has_one_answer_for_all_reasons_but_absence() -> None:
    """A client must not learn whether its subject is unknown, inactive or its token expired.

    It is told what is wrong with a proof of its own (RFC 9449, 7.1).
    """
    by_status: dict[int, set[Refusal]] = {}
    for reason in DenyReason:
        if reason not in (DenyReason.NO_CREDENTIALS, DenyReason.INSUFFICIENT_SCOPE, *OF_PROOFS):
            by_status.setdefault(reason.http_status, set()).add(refuse(reason))

    assert {status: len(answers) for status, answers in by_status.items() if status != 400} == {
        401: 1, 403: 1, 405: 1, 408: 1, 417: 1, 429: 1, 500: 1, 503: 1,
    }  # fmt: skip


def test_the_body_is_one_that_clients_of_the_gateway_expect() -> None:
    assert json.loads(refuse(DenyReason.SUBJECT_INACTIVE).body) == {
        "message": "access denied",
        "error": "invalid_token",
        "request_id": "r-1",
    }


def test_a_challenge_says_what_is_missing() -> None:
    route = Route("write", "/w", requirement=Requirement(scopes=frozenset({"w"})))

    assert (
        b"WWW-Authenticate",
        b'Bearer realm="sidecar", error="insufficient_scope", scope="w"',
    ) in refuse(DenyReason.INSUFFICIENT_SCOPE, route).fields
    assert (b"WWW-Authenticate", b'Bearer realm="sidecar"') in refuse(
        DenyReason.NO_CREDENTIALS
    ).fields


def test_what_may_get_well_says_when_to_come_back() -> None:
    assert (b"Retry-After", b"1") in refuse(DenyReason.STATUS_UNAVAILABLE).fields


def test_whose_budget_is_used_up_is_told_when_there_is_some_again() -> None:
    """RFC 6585, 4, and draft-ietf-httpapi-ratelimit-headers-10."""
    deny = Deny(DenyReason.RATE_LIMITED, exceeded=Exceeded("account", 100, 2, 3))
    refusal = refusal_of(deny, realm=SIDECAR, request_id="r-1")

    assert refusal.status == 429
    assert (b"Retry-After", b"3") in refusal.fields
    assert (b"RateLimit-Policy", b'"account";q=100;w=2') in refusal.fields
    assert (b"RateLimit", b'"account";r=0;t=3') in refusal.fields
    assert json.loads(refusal.body)["message"] == "too many requests"


def test_of_what_is_in_flight_nobody_knows_when_there_is_room() -> None:
    deny = Deny(DenyReason.TOO_MANY_CONCURRENT, exceeded=Exceeded("account", 5, 0))
    fields = dict(refusal_of(deny, realm=SIDECAR, request_id="r-1").fields)

    assert fields[b"Retry-After"] == b"1"
    assert b"RateLimit" not in fields


def test_a_refused_method_says_which_are_not() -> None:
    assert b"Allow" in dict(refuse(DenyReason.METHOD_REFUSED).fields)


@pytest.mark.parametrize("error", list(UpstreamError), ids=lambda error: error.value)
def test_every_failure_of_upstream_has_an_answer(error: UpstreamError) -> None:
    refusal = upstream_refusal(error, request_id="r-1")

    open_circuit = error is UpstreamError.CIRCUIT_OPEN
    assert refusal.status == (503 if open_circuit else 504 if "timeout" in error else 502)
    assert (b"Retry-After" in dict(refusal.fields)) is open_circuit
    assert json.loads(refusal.body)["request_id"] == "r-1"
