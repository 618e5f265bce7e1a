"""An observer that hears everything and does nothing: observers override what concerns them."""

from sidecar.core.connections import ConnectionRefusal
from sidecar.core.decision import Decision
from sidecar.core.request import AccessRequest
from sidecar.ports import (
    AuditRecord,
    CutReason,
    FetchOutcome,
    StreamKind,
    UpstreamError,
    ViewEvent,
)


class SilentObserver:
    """Implements ``ports.Observer``."""

    def decided(self, request: AccessRequest, decision: Decision, seconds: float) -> None: ...

    def answered(self, request: AccessRequest, status: int, seconds: float) -> None: ...

    def call_ended(self, request: AccessRequest, code: str, seconds: float) -> None: ...

    def upstream_failed(self, request: AccessRequest, error: UpstreamError) -> None: ...

    def in_flight(self, kind: StreamKind, change: int) -> None: ...

    def connected(self, change: int) -> None: ...

    def connection_refused(self, reason: ConnectionRefusal) -> None: ...

    def cut(self, reason: CutReason, streams: int) -> None: ...

    def keys_fetched(self, issuer: str, outcome: FetchOutcome, seconds: float) -> None: ...

    def keys_loaded(self, issuer: str, keys: int, at: float) -> None: ...

    def view_changed(self, event: ViewEvent) -> None: ...

    def audited(self, record: AuditRecord) -> None: ...
