"""Every reason for a cut has its words and its refusal."""

import pytest

from sidecar.core.decision import DenyReason
from sidecar.fronts.reverse_proxy.cutting import deny_reason_of, words_of
from sidecar.ports import CutReason


@pytest.mark.parametrize(
    ("reason", "status"),
    [
        (CutReason.REVOKED, 401),
        (CutReason.EXPIRED, 401),
        (CutReason.STATUS_UNAVAILABLE, 503),
    ],
)
def test_a_cut_before_the_answer_is_refused_by_its_reason(reason: CutReason, status: int) -> None:
    assert deny_reason_of(reason).http_status == status


def test_no_two_reasons_are_told_alike() -> None:
    assert len({words_of(reason) for reason in CutReason}) == len(CutReason)
    assert len({deny_reason_of(reason) for reason in CutReason}) == len(CutReason)
    assert all(isinstance(deny_reason_of(reason), DenyReason) for reason in CutReason)
