"""The Protocols between the decision and the world. Fakes in the tests implement the same."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum, unique
from typing import ClassVar, Protocol

from sidecar.core.connections import ConnectionObserver
from sidecar.core.decision import Decision, DenyReason, Grant
from sidecar.core.request import AccessRequest
from sidecar.core.subject import Account, Standing, SubjectKey
from sidecar.core.token import VerificationKeys


class Unavailable(Exception):
    """What a decision needs cannot be had now; ``reason`` is the verdict then."""

    reason: ClassVar[DenyReason]


class StatusUnavailable(Unavailable):
    """The account store cannot be asked now; nothing follows about the subject."""

    reason = DenyReason.STATUS_UNAVAILABLE


class AccountExists(Exception):
    """An account of this subject is there already."""


class AccountNotFound(Exception):
    """There is no account of this subject."""


class Contended(Exception):
    """Others changed the account while we tried to; nothing was written."""


class Superseded(Exception):
    """Another process leads since then, so this one may not write; nothing was written."""


@dataclass(frozen=True, slots=True)
class Change:
    """What changed in the account store. A field that is None stands for all there are.

    So ``Change()`` is everything, ``Change(realm="corp")`` every token of the realm.
    """

    realm: str | None = None
    subject: str | None = None
    token_id: str | None = None


@unique
class ViewEvent(StrEnum):
    """What happens to the account view; the value is a metric label."""

    CONNECTED = "connected"
    LIVE = "live"
    LOST = "lost"
    INVALIDATED = "invalidated"
    FLUSHED = "flushed"
    ROLLED_BACK = "rolled_back"
    EVICTING = "evicting"


@unique
class StreamKind(StrEnum):
    """What is in flight; the value is a metric label."""

    HTTP = "http"
    WEBSOCKET = "websocket"
    GRPC = "grpc"


@unique
class OnExpiry(StrEnum):
    """What its token's expiry does to a plain response in flight; the value is a setting."""

    CUT = "cut"
    FINISH = "finish"


@unique
class CutReason(StrEnum):
    """Why a stream was cut; the value is a metric label."""

    REVOKED = "revoked"
    EXPIRED = "expired"
    STATUS_UNAVAILABLE = "status_unavailable"


@unique
class UpstreamError(StrEnum):
    """How upstream failed; the value is a metric label."""

    CONNECT = "connect"
    CONNECT_TIMEOUT = "connect_timeout"
    CIRCUIT_OPEN = "circuit_open"
    TLS = "tls"
    FIRST_BYTE_TIMEOUT = "first_byte_timeout"
    IDLE_TIMEOUT = "idle_timeout"
    RESET = "reset"
    MALFORMED = "malformed"


@unique
class FetchOutcome(StrEnum):
    """How a fetch of keys ended; the value is a metric label."""

    FETCHED = "fetched"
    UNREACHABLE = "unreachable"
    TIMEOUT = "timeout"
    STATUS = "status"
    TOO_LARGE = "too_large"
    MALFORMED = "malformed"
    ISSUER_MISMATCH = "issuer_mismatch"
    NO_USABLE_KEY = "no_usable_key"


class Clock(Protocol):
    """Two clocks: the wall for what tokens say, the steady one for how long ago something was."""

    def now(self) -> float:
        """Return the wall clock, in epoch seconds."""
        ...

    def steady(self) -> float:
        """Return seconds that only grow, through clock steps and suspends."""
        ...


class KeySource(Protocol):
    """The verification keys of each issuer, held in memory, refreshed behind the requests."""

    def keys(self, issuer: str) -> VerificationKeys | None:
        """Return the issuer's usable keys; None when none were loaded or they are too stale."""
        ...

    async def refresh(self, issuer: str, kid: str | None) -> None:
        """Fetch the keys anew, unless the cool-down forbids; all callers share one fetch.

        Never raises for a failed fetch: what ``keys`` returns afterwards is the outcome.
        """
        ...

    def is_resting(self, issuer: str, kid: str | None) -> bool:
        """Say whether ``refresh`` would do nothing: a cool-down runs. ``kid`` counts as named."""
        ...

    def is_unsettled(self, issuer: str, kid: str | None) -> bool:
        """Say whether its absence proves nothing: no fetch went well since ``kid`` was named."""
        ...


class AccountView(Protocol):
    """The local view of the account store. It never answers from beyond its lease."""

    def is_live(self) -> bool:
        """Say whether the view is proven to be no older than its bound (``max_staleness``)."""
        ...

    def look_up(self, subject: SubjectKey, token_id: str | None) -> Standing | None:
        """Return the standing if it is at hand and the view is live, else None. Never waits."""
        ...

    async def read(self, subject: SubjectKey, token_id: str | None) -> Standing:
        """Return the standing, asking the store; one question serves all who wait for it.

        Raises:
            StatusUnavailable: the store did not answer.
        """
        ...

    def watch(self, listener: Callable[[Change], None]) -> None:
        """Call ``listener`` in the event loop for every change from now on, as it is heard."""
        ...


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """Who changed what. ``at`` is in epoch seconds; ``before`` is None for a new account.

    A revocation of one token or of a realm's has no subject: that of ``key`` is empty. Instead
    there is the ``token_id`` (``jti``) that is refused ``until`` then, or the realm's
    ``not_before``; both in epoch seconds. ``streams`` were cut, of an account that stays as it is.
    """

    at: float
    actor: str
    action: str
    key: SubjectKey
    before: Account | None = None
    after: Account | None = None
    token_id: str | None = None
    until: float | None = None
    not_before: float | None = None
    streams: int | None = None


class Auditor(Protocol):
    """Hears of each change; every ``Observer`` is one."""

    def audited(self, record: AuditRecord) -> None:
        """Hear a change of an account, or a revocation."""
        ...


class AccountStore(Protocol):
    """Where accounts are kept. Every call may wait, and raise StatusUnavailable for no answer."""

    async def get(self, key: SubjectKey) -> Account | None:
        """Return the account, or None."""
        ...

    async def list(self, realm: str) -> Sequence[Account]:
        """Return all accounts of the realm, by subject."""
        ...

    async def put(
        self, key: SubjectKey, account: Account, *, expected: Account | None
    ) -> Account | None:
        """Write the account if the stored one is still ``expected``; return it as it is stored.

        Returns None where it was not, and nothing was written. Where an account of the subject was
        deleted, its ``not_before`` is kept if it is later.
        """
        ...

    async def delete(self, key: SubjectKey) -> bool:
        """Remove the account, all but its ``not_before``, and how it was used; was there one?"""
        ...

    async def revoke_token(self, realm: str, token_id: str, until: float) -> None:
        """Remember a token as revoked until then (epoch seconds); never for a shorter time."""
        ...

    async def read_realm_not_before(self, realm: str) -> float:
        """Return the realm's ``not_before`` in force (epoch seconds); 0 for none."""
        ...

    async def set_realm_not_before(self, realm: str, moment: float) -> float:
        """Revoke the realm's tokens issued before ``moment``; return the ``not_before`` in force.

        Both are epoch seconds. It is never lowered: what was in force may be later than ``moment``.
        """
        ...


class Observer(ConnectionObserver, Protocol):
    """Hears what happened. Called on the hot path: it must be quick and must not raise."""

    def decided(self, request: AccessRequest, decision: Decision, seconds: float) -> None:
        """Hear a decision and how long it took."""
        ...

    def answered(self, request: AccessRequest, status: int, seconds: float) -> None:
        """Hear the whole request's end: its HTTP status and its seconds from first to last byte."""
        ...

    def call_ended(self, request: AccessRequest, code: str, seconds: float) -> None:
        """Hear the whole gRPC call's end: its status code's name, and how long it was open."""
        ...

    def upstream_failed(self, request: AccessRequest, error: UpstreamError) -> None:
        """Hear that upstream failed."""
        ...

    def in_flight(self, kind: StreamKind, change: int) -> None:
        """Hear that requests of a kind began (1) or ended (-1)."""
        ...

    def cut(self, reason: CutReason, streams: int) -> None:
        """Hear that streams were cut, and why."""
        ...

    def spared(self, reason: CutReason, grant: Grant) -> None:
        """Hear that a stream of a route in shadow goes on that would have been cut, and why."""
        ...

    def keys_fetched(self, issuer: str, outcome: FetchOutcome, seconds: float) -> None:
        """Hear a key fetch and how long it took."""
        ...

    def keys_loaded(self, issuer: str, keys: int, at: float) -> None:
        """Hear how many usable keys there are, and when they were fetched (epoch seconds)."""
        ...

    def view_changed(self, event: ViewEvent) -> None:
        """Hear of the account view."""
        ...

    def view_proven(self, seconds: float) -> None:
        """Hear how long the store took to answer: about as long a change takes to be heard."""
        ...

    def audited(self, record: AuditRecord) -> None:
        """Hear a change of an account."""
        ...
