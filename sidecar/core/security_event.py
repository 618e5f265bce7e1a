"""Security event tokens (RFC 8417) of OpenID Shared Signals: read strictly, then judged.

Only what shuts somebody out, or takes that back, is of interest: CAEP's session-revoked and
credential-change, and RISC's account-disabled, -enabled and -purged.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum, unique
from typing import Any

from sidecar.core.claims import read_token_id
from sidecar.core.decision import Denied
from sidecar.core.subject import SubjectKey, is_subject
from sidecar.core.token import VerifiedToken

# RFC 8417, 2.3; what is no such type is another kind of token, signed by the same keys.
EVENT_TOKEN_TYPES = frozenset({"secevent+jwt", "application/secevent+jwt"})


@unique
class Effect(StrEnum):
    """What an event does to its subject's account."""

    REVOKE = "revoke"
    DISABLE = "disable"
    ENABLE = "enable"
    NONE = "none"


_CAEP = "https://schemas.openid.net/secevent/caep/event-type/"
_RISC = "https://schemas.openid.net/secevent/risc/event-type/"
_SESSIONS_ENDED = frozenset({_CAEP + "session-revoked", _RISC + "sessions-revoked"})
_CREDENTIAL_CHANGED = _CAEP + "credential-change"
_STATUS_CHANGES = {
    _RISC + "account-disabled": Effect.DISABLE,
    _RISC + "account-purged": Effect.DISABLE,
    _RISC + "account-enabled": Effect.ENABLE,
}
_MAX_EVENTS = 16
_MAX_IDENTIFIERS = 16
_MAX_TYPE_LENGTH = 255
_LAST_DATE = 2.0**53


@unique
class EventRefusal(StrEnum):
    """Why an event token is not taken; the value is the ``err`` of RFC 8935, 2.4."""

    INVALID_REQUEST = "invalid_request"
    INVALID_KEY = "invalid_key"
    INVALID_ISSUER = "invalid_issuer"
    INVALID_AUDIENCE = "invalid_audience"
    AUTHENTICATION_FAILED = "authentication_failed"


class EventRefused(Exception):
    """The token is refused. The description quotes nothing of it."""

    def __init__(self, refusal: EventRefusal, description: str) -> None:
        super().__init__(refusal, description)
        self.refusal = refusal
        self.description = description


@dataclass(frozen=True, slots=True)
class Transmitter:
    """One transmitter and what it may do.

    ``subjects`` are the realms by issuer whose subjects it may speak of; ``opaque_issuer`` is the
    one whose ``sub`` its opaque identifiers are. ``changes_status`` lets it disable accounts, and
    enable them. ``max_age`` and ``leeway`` are in seconds.
    """

    issuer: str
    audiences: frozenset[str]
    subjects: Mapping[str, str]
    opaque_issuer: str | None = None
    changes_status: bool = False
    max_age: float = 86400.0
    leeway: float = 60.0


@dataclass(frozen=True, slots=True)
class Event:
    """One event: its type, whose it is, and when it happened (epoch seconds, never in the future).

    ``keys`` is empty where its subject is nobody whom we could know.
    """

    kind: str
    effect: Effect
    keys: tuple[SubjectKey, ...]
    at: float


@dataclass(frozen=True, slots=True)
class EventToken:
    """A security event token that is its transmitter's and meant for us."""

    token_id: str
    issued_at: float
    events: tuple[Event, ...] = field(default=())


def read_events(token: VerifiedToken, transmitter: Transmitter, now: float) -> EventToken:
    """Read and judge a token whose signature is good, as of ``now`` (epoch seconds).

    Raises:
        EventRefused: it is malformed, too old, or not for us.
    """
    claims = token.claims
    if claims.get("iss") != transmitter.issuer:
        raise EventRefused(EventRefusal.INVALID_ISSUER, "iss is not the transmitter's")
    for name in ("sub", "exp"):
        # Shared Signals Framework 1.0, 4.1: neither may be there, lest it be taken for, or be, a
        # token of another kind.
        if name in claims:
            raise _invalid(f"{name} is no claim of a security event")
    if not transmitter.audiences & frozenset(_strings(claims.get("aud"))):
        raise EventRefused(EventRefusal.INVALID_AUDIENCE, "aud names none of ours")
    token_id = _token_id(claims)
    issued_at = _date(claims.get("iat"))
    if issued_at is None:
        raise _invalid("iat is missing, or no date")
    if issued_at > now + transmitter.leeway:
        raise _invalid("iat is in the future")
    if issued_at < now - transmitter.max_age:
        # So long a token is remembered: an older one may be a replay.
        raise _invalid("it is too old")
    events = claims.get("events")
    if not isinstance(events, dict) or not 0 < len(events) <= _MAX_EVENTS:
        raise _invalid("events is no object with members")
    found = tuple(
        _event(kind, payload, claims, transmitter, min(issued_at, now))
        for kind, payload in events.items()
    )
    return EventToken(token_id, issued_at, found)


def _event(
    kind: str, payload: Any, claims: Mapping[str, Any], transmitter: Transmitter, latest: float
) -> Event:
    if not isinstance(payload, dict) or len(kind) > _MAX_TYPE_LENGTH or not kind.isprintable():
        raise _invalid("an event has no object for its payload, or a strange type")
    effect = _effect(kind, payload, changes_status=transmitter.changes_status)
    # Before Shared Signals was final the subject stood in the event itself.
    subject = claims.get("sub_id", payload.get("subject"))
    keys = () if effect is Effect.NONE else tuple(dict.fromkeys(_keys_of(subject, transmitter)))
    at = _date(payload.get("event_timestamp"))
    # In the future, or in milliseconds: nobody may be shut out until then.
    return Event(kind, effect, keys, latest if at is None else min(at, latest))


def _effect(kind: str, payload: Mapping[str, Any], *, changes_status: bool) -> Effect:
    if kind in _SESSIONS_ENDED:
        return Effect.REVOKE
    if kind == _CREDENTIAL_CHANGED:
        # A further credential makes no token bad that was got by another one.
        return Effect.NONE if payload.get("change_type") == "create" else Effect.REVOKE
    return _STATUS_CHANGES.get(kind, Effect.NONE) if changes_status else Effect.NONE


def _keys_of(
    subject: Any, transmitter: Transmitter, *, nested: bool = False
) -> Iterator[SubjectKey]:
    """Yield who is meant (RFC 9493); nobody by a format that names no subject of an issuer."""
    if not isinstance(subject, dict):
        raise _invalid("sub_id is missing, or no object")
    match subject.get("format"):
        case "iss_sub":
            yield from _key(subject.get("iss"), subject.get("sub"), transmitter)
        case "opaque":
            yield from _key(transmitter.opaque_issuer, subject.get("id"), transmitter)
        case "complex" if not nested and "user" in subject:
            yield from _keys_of(subject["user"], transmitter, nested=True)
        case "aliases" if not nested:
            identifiers = subject.get("identifiers")
            if not isinstance(identifiers, list) or len(identifiers) > _MAX_IDENTIFIERS:
                raise _invalid("identifiers is no list, or too long")
            for each in identifiers:
                yield from _keys_of(each, transmitter, nested=True)


def _key(issuer: Any, subject: Any, transmitter: Transmitter) -> Iterator[SubjectKey]:
    # A transmitter speaks of those issuers' subjects that the settings give it, and of no others.
    realm = transmitter.subjects.get(issuer) if isinstance(issuer, str) else None
    if realm is not None and isinstance(subject, str) and is_subject(subject):
        yield SubjectKey(realm, subject)


def _token_id(claims: Mapping[str, Any]) -> str:
    try:
        token_id = read_token_id(claims)
    except Denied as denied:
        raise _invalid(denied.detail) from None
    if token_id is None:
        raise _invalid("jti is missing")
    return token_id


def _date(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 <= value <= _LAST_DATE else None


def _strings(value: Any) -> list[str]:
    values = [value] if isinstance(value, str) else value
    return [each for each in values if isinstance(each, str)] if isinstance(values, list) else []


def _invalid(description: str) -> EventRefused:
    return EventRefused(EventRefusal.INVALID_REQUEST, description)
