"""gRPC calls: counted under the codes that there are, and no others."""

from prometheus_client import CollectorRegistry

from sidecar.core.request import AccessRequest
from sidecar.observability.grpc_calls import GrpcCalls

REQUEST = AccessRequest("POST", "", "/a.B/C", "", (), "127.0.0.1", "r")


def test_calls_are_counted_by_their_code() -> None:
    registry = CollectorRegistry()
    calls = GrpcCalls(registry)
    for code in ("OK", "OK", "UNAUTHENTICATED"):
        calls.call_ended(REQUEST, code, 0.002)

    assert registry.get_sample_value("sidecar_grpc_calls_total", {"code": "OK"}) == 2
    assert registry.get_sample_value("sidecar_grpc_calls_total", {"code": "UNAUTHENTICATED"}) == 1
    assert registry.get_sample_value("sidecar_grpc_call_seconds_count") == 3


def test_no_other_code_makes_a_series() -> None:
    registry = CollectorRegistry()
    calls = GrpcCalls(registry)
    for number in range(100):
        calls.call_ended(REQUEST, f"CODE_{number}", 0.0)

    assert registry.get_sample_value("sidecar_grpc_calls_total", {"code": "UNKNOWN"}) == 100
    assert registry.get_sample_value("sidecar_grpc_calls_total", {"code": "CODE_7"}) is None
