"""The access request of a call: one reading of it, or a refusal."""

import pytest

from sidecar.core.decision import DenyReason
from sidecar.fronts.grpc_listener import read_peer
from sidecar.fronts.grpc_proxy.asking import read_access_request
from sidecar.fronts.grpc_proxy.metadata import CallHead


def test_a_call_asks_as_the_post_that_it_is() -> None:
    head = CallHead(authorization=["Bearer a"])
    asked, problem = read_access_request("/a.b.C/Do", head, "192.0.2.7")

    assert problem is None
    assert (asked.method, asked.path, asked.query) == ("POST", "/a.b.C/Do", "")
    assert asked.authorization == ("Bearer a",)
    assert asked.peer == "192.0.2.7"
    assert not asked.own_credential


def test_an_agents_credential_is_recognised() -> None:
    head = CallHead(kept=[("origin", "agent")], authorization=["Bearer x-agt-1"])

    assert read_access_request("/protobuf.Transport/Connect", head, "")[0].own_credential


@pytest.mark.parametrize("method", ["", "*", "a.B/C", "/a.B/C?x=y", "http://h/a.B/C", "/a?"])
def test_a_method_that_is_no_path_is_refused(method: str) -> None:
    asked, problem = read_access_request(method, CallHead(), "")

    assert problem is not None
    assert problem.reason is DenyReason.MALFORMED_REQUEST
    assert "x=y" not in asked.path, "a query may hold a secret"


def test_two_credentials_are_refused_on_open_routes_too() -> None:
    head = CallHead(authorization=["Bearer a", "Bearer b"])
    _, problem = read_access_request("/a.B/C", head, "")

    assert problem is not None
    assert problem.reason is DenyReason.MALFORMED_CREDENTIALS


def test_metadata_that_cannot_be_read_refuse_the_call() -> None:
    _, problem = read_access_request("/a.B/C", CallHead(problem="octets"), "")

    assert problem is not None
    assert problem.reason is DenyReason.MALFORMED_REQUEST


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        ("ipv4:127.0.0.1:50000", "127.0.0.1"),
        ("ipv6:%5B::1%5D:50000", "::1"),
        ("ipv6:[::1]:50000", "::1"),
        ("unix:", ""),
        ("", ""),
    ],
)
def test_the_peers_address_is_read(peer: str, address: str) -> None:
    assert read_peer(peer) == address
