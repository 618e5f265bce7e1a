"""Counts what is changed at the admin listener, and who was refused there.

In the process that answers it: with several workers that is their parent.
"""

from prometheus_client import CollectorRegistry, Counter
from typing_extensions import override

from sidecar.core.admin_refusal import AdminRefusal
from sidecar.observability.silent import SilentObserver
from sidecar.ports import AuditRecord
from sidecar.security_events import EventOutcome

_ACTIONS = (
    "create", "update", "disable", "enable", "delete", "hold", "restore",
    "revoke_subject_tokens", "revoke_token", "revoke_realm_tokens", "cut_streams", "other",
)  # fmt: skip


class ChangeCounter(SilentObserver):
    """Implements ``ports.Auditor``, and counts what the admin API tells."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()
        changes = Counter(
            "sidecar_account_changes", "Account changes and revocations by this process.",
            ("action",), registry=self.registry,
        )  # fmt: skip
        # All of them at once: of a series that begins with 1 no increase can be told.
        self._changes = {action: changes.labels(action) for action in _ACTIONS}
        refusals = Counter(
            "sidecar_admin_refusals", "Requests that the admin API refused, by reason.",
            ("reason",), registry=self.registry,
        )  # fmt: skip
        self._refusals = {reason: refusals.labels(reason.value) for reason in AdminRefusal}
        self._events = Counter(
            "sidecar_security_events", "Security events of identity providers, by what came of it.",
            ("receiver", "outcome"), registry=self.registry,
        )  # fmt: skip
        self._lost = Counter(
            "sidecar_audit_lost", "Audit records that could not be kept in the account store.",
            registry=self.registry,
        )  # fmt: skip

    @override
    def audited(self, record: AuditRecord) -> None:
        self._changes.get(record.action, self._changes["other"]).inc()

    def refused(self, reason: AdminRefusal) -> None:
        """Count a request that the admin API refused."""
        self._refusals[reason].inc()

    def event_received(self, receiver: str, outcome: EventOutcome) -> None:
        """Count what became of a security event."""
        self._events.labels(receiver, outcome.value).inc()

    def audit_lost(self) -> None:
        """Count an audit record that is in the log alone."""
        self._lost.inc()
