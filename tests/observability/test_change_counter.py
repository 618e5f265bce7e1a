"""What the admin listener counts."""

from prometheus_client import generate_latest

from sidecar.core.admin_refusal import AdminRefusal
from sidecar.core.subject import SubjectKey
from sidecar.observability.change_counter import ChangeCounter
from sidecar.ports import AuditRecord


def test_changes_refusals_and_losses_are_counted_and_all_reasons_are_there_from_the_start() -> None:
    counter = ChangeCounter()
    for action in ("cut_streams", "something new"):
        counter.audited(AuditRecord(1.0, "a", action, SubjectKey("corp", "alice")))
    counter.refused(AdminRefusal.CROSS_SITE)
    counter.audit_lost()

    text = generate_latest(counter.registry).decode()
    assert 'sidecar_account_changes_total{action="cut_streams"} 1.0' in text
    assert 'sidecar_account_changes_total{action="other"} 1.0' in text
    assert 'sidecar_admin_refusals_total{reason="cross_site"} 1.0' in text
    assert 'sidecar_admin_refusals_total{reason="bad_credentials"} 0.0' in text
    assert "sidecar_audit_lost_total 1.0" in text
