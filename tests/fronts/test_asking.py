"""What is asked, read out of a request."""

import re

import pytest

from sidecar.core.decision import DenyReason
from sidecar.fronts.asking import make_request_id, read_access_request
from tests.fronts.test_prepared_head import prepared


def test_the_target_is_split_and_nothing_else_done_to_it() -> None:
    head = prepared()
    asked, problem = read_access_request("GET", "/a%2Fb?x=%41", head)

    assert problem is None
    assert (asked.method, asked.path, asked.query) == ("GET", "/a%2Fb", "x=%41")
    assert asked.host == "sidecar.example"
    assert asked.authorization == ("Bearer a.b.c",)
    assert asked.memory is head.memory


@pytest.mark.parametrize(
    ("method", "target", "reason"),
    [
        ("GET", "http://evil.example/", DenyReason.MALFORMED_REQUEST),
        ("CONNECT", "evil.example:443", DenyReason.METHOD_REFUSED),
    ],
)
def test_a_target_that_is_none_is_refused_and_logged_in_short(
    method: str, target: str, reason: DenyReason
) -> None:
    asked, problem = read_access_request(method, target.ljust(400, "x"), prepared())

    assert problem is not None
    assert problem.reason is reason
    assert len(asked.path) <= 256


def test_what_is_wrong_with_the_head_refuses_any_target() -> None:
    _, problem = read_access_request("GET", "/", prepared((b"Host", b"b.example")))

    assert problem is not None


def test_no_two_requests_have_one_id() -> None:
    ids = {make_request_id() for _ in range(10_000)}

    assert len(ids) == 10_000
    assert all(re.fullmatch("[0-9a-f]{16}", each) for each in ids)
