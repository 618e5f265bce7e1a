"""Hears how sampled requests fare, and gives them away when they have ended."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from typing_extensions import override

from sidecar.core.decision import Decision
from sidecar.core.request import AccessRequest
from sidecar.core.trace import Record
from sidecar.observability.silent import SilentObserver
from sidecar.ports import UpstreamError


@dataclass(frozen=True, slots=True)
class Ended:
    """A sampled request that has ended: with an HTTP ``status``, or a gRPC status' name."""

    request: AccessRequest
    record: Record
    status: int | None = None
    code: str = ""


class SpanObserver(SilentObserver):
    """Implements ``ports.Observer``."""

    def __init__(self) -> None:
        self._finish: Callable[[Ended], None] = _nowhere

    @contextmanager
    def given_to(self, finish: Callable[[Ended], None]) -> Iterator[None]:
        """Call ``finish`` with each sampled request that ends, until the block does."""
        self._finish = finish
        try:
            yield
        finally:
            self._finish = _nowhere

    @override
    def decided(self, request: AccessRequest, decision: Decision, seconds: float) -> None:
        trace = request.trace
        if trace is not None and (record := trace.record) is not None:
            record.decided(decision, seconds)

    @override
    def upstream_failed(self, request: AccessRequest, error: UpstreamError) -> None:
        trace = request.trace
        if trace is not None and (record := trace.record) is not None:
            record.failed(error.value)

    @override
    def answered(self, request: AccessRequest, status: int, seconds: float) -> None:
        trace = request.trace
        if trace is not None and (record := trace.record) is not None:
            self._finish(Ended(request, record, status))

    @override
    def call_ended(self, request: AccessRequest, code: str, seconds: float) -> None:
        trace = request.trace
        if trace is not None and (record := trace.record) is not None:
            self._finish(Ended(request, record, code=code))


def _nowhere(ended: Ended) -> None:
    """Lose it: what exports is not open."""
