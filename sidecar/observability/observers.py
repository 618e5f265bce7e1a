"""One observer out of several. None of them can disturb the others, or the request."""

import logging

from sidecar.core.connections import ConnectionRefusal
from sidecar.core.decision import Decision, Grant
from sidecar.core.request import AccessRequest
from sidecar.observability.silent import SilentObserver
from sidecar.ports import (
    AuditRecord,
    CutReason,
    FetchOutcome,
    Observer,
    StreamKind,
    UpstreamError,
    ViewEvent,
)

log = logging.getLogger(__name__)


class Observers:
    """Implements ``ports.Observer`` by telling each of ``observers`` in turn."""

    def __init__(self, *observers: Observer) -> None:
        self._observers = observers
        # Bound once for what happens with every request.
        self._decided = tuple(each.decided for each in observers if _hears(each, "decided"))
        self._answered = tuple(each.answered for each in observers if _hears(each, "answered"))
        self._in_flight = tuple(each.in_flight for each in observers if _hears(each, "in_flight"))
        self._known_failures: set[tuple[str, type[Exception]]] = set()

    def decided(self, request: AccessRequest, decision: Decision, seconds: float) -> None:
        for decided in self._decided:
            try:
                decided(request, decision, seconds)
            except Exception as failure:  # noqa: BLE001 - watching must not disturb
                self._failed("decided", failure)

    def answered(self, request: AccessRequest, status: int, seconds: float) -> None:
        for answered in self._answered:
            try:
                answered(request, status, seconds)
            except Exception as failure:  # noqa: BLE001
                self._failed("answered", failure)

    def in_flight(self, kind: StreamKind, change: int) -> None:
        for in_flight in self._in_flight:
            try:
                in_flight(kind, change)
            except Exception as failure:  # noqa: BLE001
                self._failed("in_flight", failure)

    def call_ended(self, request: AccessRequest, code: str, seconds: float) -> None:
        self._tell("call_ended", request, code, seconds)

    def upstream_failed(self, request: AccessRequest, error: UpstreamError) -> None:
        self._tell("upstream_failed", request, error)

    def connected(self, change: int) -> None:
        self._tell("connected", change)

    def connection_refused(self, reason: ConnectionRefusal) -> None:
        self._tell("connection_refused", reason)

    def read_too_slowly(self) -> None:
        self._tell("read_too_slowly")

    def cut(self, reason: CutReason, streams: int) -> None:
        self._tell("cut", reason, streams)

    def spared(self, reason: CutReason, grant: Grant) -> None:
        self._tell("spared", reason, grant)

    def keys_fetched(self, issuer: str, outcome: FetchOutcome, seconds: float) -> None:
        self._tell("keys_fetched", issuer, outcome, seconds)

    def keys_loaded(self, issuer: str, keys: int, at: float) -> None:
        self._tell("keys_loaded", issuer, keys, at)

    def view_changed(self, event: ViewEvent) -> None:
        self._tell("view_changed", event)

    def view_proven(self, seconds: float) -> None:
        self._tell("view_proven", seconds)

    def audited(self, record: AuditRecord) -> None:
        self._tell("audited", record)

    def _tell(self, what: str, *values: object) -> None:
        for each in self._observers:
            try:
                getattr(each, what)(*values)
            except Exception as failure:  # noqa: BLE001
                self._failed(what, failure)

    def _failed(self, what: str, failure: Exception) -> None:
        kind = (what, type(failure))
        if kind not in self._known_failures:  # once: it would come back with every request
            self._known_failures.add(kind)
            log.error("an observer failed at %s; requests go on", what, exc_info=failure)


def _hears(observer: Observer, what: str) -> bool:
    """Say whether it does anything when told; what it leaves to ``SilentObserver`` is nothing."""
    return getattr(type(observer), what, None) is not getattr(SilentObserver, what)
