"""An observer that remembers what it heard."""

from collections import Counter

from sidecar.core.connections import ConnectionRefusal
from sidecar.core.decision import Decision, Grant
from sidecar.core.request import AccessRequest
from sidecar.ports import (
    AuditRecord,
    CutReason,
    FetchOutcome,
    StreamKind,
    UpstreamError,
    ViewEvent,
)


class RecordingObserver:
    """Keeps every call, in order, in one list per kind."""

    def __init__(self) -> None:
        self.decisions: list[tuple[AccessRequest, Decision, float]] = []
        self.answers: list[tuple[AccessRequest, int, float]] = []
        self.calls: list[tuple[AccessRequest, str, float]] = []
        self.upstream_failures: list[tuple[AccessRequest, UpstreamError]] = []
        self.in_flight_now: Counter[StreamKind] = Counter()
        self.connected_now = 0
        self.connections_refused: Counter[ConnectionRefusal] = Counter()
        self.slow_readers = 0
        self.cuts: list[tuple[CutReason, int]] = []
        self.spared_streams: list[tuple[CutReason, Grant]] = []
        self.fetches: list[tuple[str, FetchOutcome, float]] = []
        self.loads: list[tuple[str, int, float]] = []
        self.view_events: list[ViewEvent] = []
        self.heartbeats: list[float] = []
        self.audits: list[AuditRecord] = []

    def decided(self, request: AccessRequest, decision: Decision, seconds: float) -> None:
        self.decisions.append((request, decision, seconds))

    def answered(self, request: AccessRequest, status: int, seconds: float) -> None:
        self.answers.append((request, status, seconds))

    def call_ended(self, request: AccessRequest, code: str, seconds: float) -> None:
        self.calls.append((request, code, seconds))

    def upstream_failed(self, request: AccessRequest, error: UpstreamError) -> None:
        self.upstream_failures.append((request, error))

    def in_flight(self, kind: StreamKind, change: int) -> None:
        self.in_flight_now[kind] += change

    def connected(self, change: int) -> None:
        self.connected_now += change

    def connection_refused(self, reason: ConnectionRefusal) -> None:
        self.connections_refused[reason] += 1

    def read_too_slowly(self) -> None:
        self.slow_readers += 1

    def cut(self, reason: CutReason, streams: int) -> None:
        self.cuts.append((reason, streams))

    def spared(self, reason: CutReason, grant: Grant) -> None:
        self.spared_streams.append((reason, grant))

    def keys_fetched(self, issuer: str, outcome: FetchOutcome, seconds: float) -> None:
        self.fetches.append((issuer, outcome, seconds))

    def keys_loaded(self, issuer: str, keys: int, at: float) -> None:
        self.loads.append((issuer, keys, at))

    def view_changed(self, event: ViewEvent) -> None:
        self.view_events.append(event)

    def view_proven(self, seconds: float) -> None:
        self.heartbeats.append(seconds)

    def audited(self, record: AuditRecord) -> None:
        self.audits.append(record)
