"""What became of gRPC calls, for Prometheus. ``deploy/metrics.md`` says what each metric means."""

from prometheus_client import CollectorRegistry, Counter, Histogram

from sidecar.core.request import AccessRequest

# The status codes of gRPC, all there are: no client makes a series of its own.
_CODES = (
    "OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND",
    "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED",
    "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
)  # fmt: skip

# Seconds. A unary call takes a millisecond, a session hours.
_BUCKETS = (1e-3, 5e-3, 2.5e-2, 0.1, 0.5, 2.5, 10.0, 60.0, 600.0, 3600.0, 36000.0)


class GrpcCalls:
    """Counts calls by how they ended, and for how long they were open."""

    def __init__(self, registry: CollectorRegistry) -> None:
        calls = Counter(
            "sidecar_grpc_calls", "gRPC calls ended, by status code.", ("code",), registry=registry
        )
        self._calls = {code: calls.labels(code) for code in _CODES}
        self._seconds = Histogram(
            "sidecar_grpc_call_seconds", "Time for which a gRPC call was open.",
            buckets=_BUCKETS, registry=registry,
        )  # fmt: skip

    def call_ended(self, request: AccessRequest, code: str, seconds: float) -> None:
        """Count a call by its status code's name; what is none of gRPC's counts as UNKNOWN."""
        del request
        self._calls.get(code, self._calls["UNKNOWN"]).inc()
        self._seconds.observe(seconds)
