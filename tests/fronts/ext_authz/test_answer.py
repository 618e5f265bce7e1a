"""A decision in Envoy's words: granted once and clearly, refused twice."""

import json

import pytest
from envoy.service.auth.v3.external_auth_pb2 import CheckResponse

from sidecar.core.decision import Deny, DenyReason, Grant
from sidecar.core.protection import SIDECAR
from sidecar.core.routes import Requirement, Route
from sidecar.fronts.ext_authz.answer import denied, granted
from tests.fakes.checks import read_answer
from tests.fakes.world import NOW, World


def refuse(reason: DenyReason, route: Route | None = None) -> bytes:
    answer, status = denied(Deny(reason, "a detail", route), realm=SIDECAR, request_id="r-1")
    assert status == reason.http_status
    return answer


@pytest.mark.parametrize("reason", list(DenyReason), ids=lambda reason: reason.value)
def test_a_refusal_is_one_in_both_places(reason: DenyReason) -> None:
    """Envoy lets pass what has the status OK, whatever the HTTP response beside it says."""
    response = CheckResponse.FromString(refuse(reason))

    assert response.status.code == reason.grpc_code != 0
    assert response.denied_response.status.code == reason.http_status >= 400
    assert not response.HasField("ok_response")
    assert not response.HasField("error_response")


@pytest.mark.parametrize("reason", list(DenyReason), ids=lambda reason: reason.value)
def test_a_client_learns_no_more_than_from_the_reverse_proxy(reason: DenyReason) -> None:
    answer = refuse(reason)
    told = read_answer(answer)

    assert set(json.loads(told.body)) == {"message", "error", "request_id"}
    assert told.client["Cache-Control"] == "no-store"
    assert told.client["Content-Type"] == "application/json"
    assert told.client.get("WWW-Authenticate") == reason.challenge(SIDECAR)
    retry_after = reason.retry_after
    assert told.client.get("Retry-After") == (None if retry_after is None else str(retry_after))
    assert b"a detail" not in answer
    assert told.metadata == {}


def test_a_lacking_scope_is_named() -> None:
    route = Route("write", "/reports", requirement=Requirement(scopes=frozenset({"write"})))

    told = read_answer(refuse(DenyReason.INSUFFICIENT_SCOPE, route))

    assert 'scope="write"' in told.client["WWW-Authenticate"]


def test_a_grant_replaces_and_removes_and_tells_envoy_who_it_is() -> None:
    world = World()
    world.enroll("robot", "ops", "dev")
    grant = world.ask("GET", "/reports", token=world.sign())
    assert isinstance(grant, Grant)

    told = read_answer(granted(grant.principal, [("x-auth-subject", "robot")], ["x_auth_subject"]))

    assert told.status == 200
    assert told.set == {"x-auth-subject": "robot"}
    assert told.removed == ["x_auth_subject"]
    assert told.metadata["subject"] == "robot"
    assert told.metadata["realm"] == "corp"
    assert list(told.metadata["groups"]) == ["ops", "dev"]
    assert told.metadata["expires_at"] == NOW + 300


def test_a_grant_to_nobody_in_particular_names_nobody() -> None:
    assert read_answer(granted(None, [("x-auth-subject", "")], [])).metadata == {}
