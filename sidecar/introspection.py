"""The Protocol between the decision and the introspection endpoints (RFC 7662)."""

from collections.abc import Mapping
from enum import StrEnum, unique
from typing import Any, Protocol

from sidecar.core.bearer import BearerToken
from sidecar.core.decision import DenyReason
from sidecar.ports import Unavailable


class IntrospectionUnavailable(Unavailable):
    """The endpoint cannot be asked now; nothing follows about the token."""

    reason = DenyReason.INTROSPECTION_UNAVAILABLE


@unique
class IntrospectionOutcome(StrEnum):
    """How one question to an endpoint ended; the value is a metric label.

    ``RESTING``: it was not asked, since it has failed again and again a moment ago.
    """

    ACTIVE = "active"
    INACTIVE = "inactive"
    UNREACHABLE = "unreachable"
    TIMEOUT = "timeout"
    STATUS = "status"
    TOO_LARGE = "too_large"
    MALFORMED = "malformed"
    ISSUER_MISMATCH = "issuer_mismatch"
    CREDENTIAL = "credential"
    RESTING = "resting"


@unique
class AnsweredFrom(StrEnum):
    """Where a decision had the answer from; the value is a metric label."""

    MEMORY = "memory"
    FLIGHT = "flight"
    ENDPOINT = "endpoint"


class Introspector(Protocol):
    """Asks issuers about tokens, or remembers what they answered a moment ago."""

    async def introspect(self, issuer: str, bearer: BearerToken) -> Mapping[str, Any] | None:
        """Return the members of an active answer, or None where the token is not active.

        Raises:
            IntrospectionUnavailable: nobody can say now.
        """
        ...


class IntrospectionObserver(Protocol):
    """Hears of introspection. It must be quick and must not raise."""

    def introspected(self, issuer: str, outcome: IntrospectionOutcome, seconds: float) -> None:
        """Hear how a question to an endpoint ended, and how long it took."""
        ...

    def introspection_answered(self, issuer: str, source: AnsweredFrom) -> None:
        """Hear where an answer came from."""
        ...


class NoIntrospection:
    """An ``Introspector`` where no issuer is to be asked."""

    async def introspect(self, issuer: str, bearer: BearerToken) -> Mapping[str, Any] | None:
        del bearer
        raise IntrospectionUnavailable(f"no endpoint of {issuer} is set")
