"""A failure carries its kind, for the metrics, and a detail, for the log."""

from sidecar.fronts.reverse_proxy.upstream.policy import UpstreamFailed
from sidecar.ports import UpstreamError


def test_a_failure_keeps_its_kind_and_its_detail() -> None:
    failed = UpstreamFailed(UpstreamError.RESET, "closed")

    assert (failed.error, failed.detail) == (UpstreamError.RESET, "closed")
