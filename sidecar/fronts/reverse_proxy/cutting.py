"""What a cut means to the client, by its reason."""

from typing import assert_never

from sidecar.core.decision import DenyReason
from sidecar.ports import CutReason


def words_of(reason: CutReason) -> str:
    """Return what a WebSocket's close frame says."""
    match reason:
        case CutReason.REVOKED:
            return "access revoked"
        case CutReason.EXPIRED:
            return "token expired"
        case CutReason.STATUS_UNAVAILABLE:
            return "access cannot be verified"
        case _:
            assert_never(reason)


def deny_reason_of(reason: CutReason) -> DenyReason:
    """Return why a request is refused that is cut before its answer began."""
    match reason:
        case CutReason.REVOKED:
            return DenyReason.TOKEN_REVOKED
        case CutReason.EXPIRED:
            return DenyReason.TOKEN_EXPIRED
        case CutReason.STATUS_UNAVAILABLE:
            return DenyReason.STATUS_UNAVAILABLE
        case _:
            assert_never(reason)
