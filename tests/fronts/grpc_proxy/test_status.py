"""What a refusal, a cut or a failure is in gRPC: a code for each, and words that tell nothing."""

import grpc
import pytest

from sidecar.core.decision import Deny, DenyReason
from sidecar.core.protection import SIDECAR
from sidecar.core.rate_limit import Exceeded
from sidecar.core.routes import Requirement, Route
from sidecar.fronts.grpc_proxy.status import Status, status_of, status_of_cut, status_of_failure
from sidecar.ports import CutReason, UpstreamError

SECRET = "aud names none of ours: api://secret"


def refused(reason: DenyReason, route: Route | None = None) -> Status:
    return status_of(Deny(reason, SECRET, route), realm=SIDECAR, request_id="r-1")


@pytest.mark.parametrize("reason", list(DenyReason))
def test_every_reason_has_its_code_and_leaks_nothing(reason: DenyReason) -> None:
    status = refused(reason)

    assert status.code.value[0] == reason.grpc_code
    assert status.code is not grpc.StatusCode.OK
    assert "secret" not in str(status)
    assert reason.value not in status.details
    assert dict(status.trailers)["x-request-id"] == "r-1"


def test_reasons_of_one_kind_cannot_be_told_apart() -> None:
    kinds = [refused(DenyReason.SUBJECT_INACTIVE), refused(DenyReason.BAD_SIGNATURE)]

    assert kinds[0] == kinds[1]


def test_the_challenge_and_the_pause_go_as_trailers() -> None:
    trailers = dict(refused(DenyReason.TOKEN_EXPIRED).trailers)
    assert trailers["www-authenticate"] == 'Bearer realm="sidecar", error="invalid_token"'

    trailers = dict(refused(DenyReason.STATUS_UNAVAILABLE).trailers)
    assert trailers["retry-after"] == "1"
    assert trailers["grpc-retry-pushback-ms"] == "1000"


def test_a_used_up_budget_says_when_there_is_some_again() -> None:
    deny = Deny(DenyReason.RATE_LIMITED, exceeded=Exceeded("account", 10, 5, 4))
    status = status_of(deny, realm=SIDECAR, request_id="r-1")

    assert status.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert dict(status.trailers)["grpc-retry-pushback-ms"] == "4000"


def test_a_missing_scope_is_named() -> None:
    route = Route("w", "/w", requirement=Requirement(scopes=frozenset({"write"})))
    trailers = dict(refused(DenyReason.INSUFFICIENT_SCOPE, route).trailers)

    assert 'scope="write"' in str(trailers["www-authenticate"])


@pytest.mark.parametrize("reason", list(CutReason))
def test_every_cut_has_its_code(reason: CutReason) -> None:
    status = status_of_cut(reason, realm=SIDECAR, request_id="r-1")

    unknown = reason is CutReason.STATUS_UNAVAILABLE
    expected = grpc.StatusCode.UNAVAILABLE if unknown else grpc.StatusCode.UNAUTHENTICATED
    assert status.code is expected


@pytest.mark.parametrize("error", list(UpstreamError))
def test_every_failure_of_upstream_has_its_code(error: UpstreamError) -> None:
    malformed = error is UpstreamError.MALFORMED
    expected = grpc.StatusCode.INTERNAL if malformed else grpc.StatusCode.UNAVAILABLE

    assert status_of_failure(error).code is expected
