"""What identity providers push about their subjects (OpenID Shared Signals), put into force.

Each event becomes a change of the account, as an operator would make it, so it is in force
everywhere at once. A token is remembered once its events are in force, not before: whoever sends
it again after a failure must find it undone. To revoke or to disable twice does no harm; an
account is enabled only if nobody has changed it since the event.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum, unique
from typing import Protocol

from sidecar.core.bearer import read_bearer
from sidecar.core.decision import Denied, DenyReason
from sidecar.core.issuer import Issuer
from sidecar.core.security_event import (
    Effect,
    Event,
    EventRefusal,
    EventRefused,
    Transmitter,
    read_events,
)
from sidecar.core.subject import SubjectKey
from sidecar.core.token import VerifiedToken, read_token
from sidecar.ports import AccountNotFound, Clock, Contended, KeySource, StatusUnavailable
from sidecar.revocations import Revocations, verify_fresh
from sidecar.service_accounts import ServiceAccounts

log = logging.getLogger(__name__)

_MAX_TOKEN_BYTES = 32768

_REFUSALS = {
    DenyReason.UNKNOWN_KEY: EventRefusal.INVALID_KEY,
    DenyReason.BAD_SIGNATURE: EventRefusal.INVALID_KEY,
    DenyReason.ALGORITHM_REFUSED: EventRefusal.INVALID_KEY,
}


@unique
class EventOutcome(StrEnum):
    """What became of an event, or of a token of events; the value is a metric label."""

    REVOKED = "revoked"
    DISABLED = "disabled"
    ENABLED = "enabled"
    IGNORED = "ignored"
    UNKNOWN_SUBJECT = "unknown_subject"
    SUPERSEDED = "superseded"
    REPEATED = "repeated"
    REFUSED = "refused"
    UNAVAILABLE = "unavailable"


class EventMemory(Protocol):
    """Remembers which tokens were put into force. Raises StatusUnavailable where it cannot say."""

    async def knows(self, transmitter: str, token_id: str) -> bool:
        """Say whether this token was remembered."""
        ...

    async def remember(self, transmitter: str, token_id: str, seconds: float) -> None:
        """Remember it for so long at least."""
        ...


class EventsUnavailable(Exception):
    """Keys or store cannot be asked now; the transmitter is to send it again."""


@dataclass(frozen=True, slots=True)
class Desk:
    """What carries an event out, in the name of its transmitter."""

    accounts: ServiceAccounts
    revocations: Revocations


class EventSink:
    """Takes one transmitter's tokens. ``heard`` is told what became of each event."""

    def __init__(
        self,
        transmitter: Transmitter,
        signer: Issuer,
        keys: KeySource,
        memory: EventMemory,
        desk: Desk,
        clock: Clock,
        heard: Callable[[EventOutcome], None],
    ) -> None:
        self._transmitter = transmitter
        self._signer = signer
        self._keys = keys
        self._memory = memory
        self._desk = desk
        self._clock = clock
        self._heard = heard

    async def take(self, text: str) -> None:
        """Put a token's events into force.

        Raises:
            EventRefused: it is none of the transmitter's, or not for us.
            EventsUnavailable: it is to be sent again.
        """
        try:
            await self._take(text)
        except EventRefused:
            self._heard(EventOutcome.REFUSED)
            raise
        except (StatusUnavailable, Contended) as unavailable:
            self._heard(EventOutcome.UNAVAILABLE)
            raise EventsUnavailable(str(unavailable)) from None
        except EventsUnavailable:
            self._heard(EventOutcome.UNAVAILABLE)
            raise

    async def _take(self, text: str) -> None:
        transmitter = self._transmitter
        found = read_events(await self._verified(text), transmitter, self._clock.now())
        if await self._memory.knows(transmitter.issuer, found.token_id):
            # RFC 8935, 2: one that was taken already is answered as if it had been now.
            self._heard(EventOutcome.REPEATED)
            return
        for event in found.events:
            await self._carry_out(event)
        # Longer than it would be accepted for: beyond that it is too old.
        seconds = transmitter.max_age + 2 * transmitter.leeway
        await self._memory.remember(transmitter.issuer, found.token_id, seconds)

    async def _verified(self, text: str) -> VerifiedToken:
        try:
            token = read_token(read_bearer((f"Bearer {text}",), _MAX_TOKEN_BYTES))
            if token.issuer != self._signer.name:
                raise EventRefused(EventRefusal.INVALID_ISSUER, "iss is not the transmitter's")
            return await verify_fresh(token, self._signer, self._keys)
        except Denied as denied:
            if denied.reason is DenyReason.KEYS_UNAVAILABLE:
                raise EventsUnavailable(denied.detail) from None
            refusal = _REFUSALS.get(denied.reason, EventRefusal.INVALID_REQUEST)
            raise EventRefused(refusal, denied.detail) from None

    async def _carry_out(self, event: Event) -> None:
        if event.effect is Effect.NONE:
            log.info("an event of %s changes nothing: %s", self._transmitter.issuer, event.kind)
            self._heard(EventOutcome.IGNORED)
            return
        if not event.keys:
            log.warning(
                "an event of %s is about nobody who could have an account here: %s",
                self._transmitter.issuer,
                event.kind,
            )
            self._heard(EventOutcome.UNKNOWN_SUBJECT)
        for key in event.keys:
            self._heard(await self._change(key, event))

    async def _change(self, key: SubjectKey, event: Event) -> EventOutcome:
        try:
            match event.effect:
                case Effect.REVOKE:
                    await self._desk.revocations.revoke_subject_tokens(key, event.at)
                    return EventOutcome.REVOKED
                case Effect.DISABLE:
                    await self._desk.accounts.disable(key)
                    # Should it be enabled again, these tokens stay refused.
                    await self._desk.revocations.revoke_subject_tokens(key, event.at)
                    return EventOutcome.DISABLED
                case _:
                    return await self._enable(key, event)
        except AccountNotFound:
            # On an allow-list nobody without an account gets in.
            log.info("an event of %s is about a subject without an account", self._signer.name)
            return EventOutcome.UNKNOWN_SUBJECT

    async def _enable(self, key: SubjectKey, event: Event) -> EventOutcome:
        seen = await self._desk.accounts.get(key)
        if seen.updated_at >= event.at:
            log.warning("%s was changed since it was enabled at its provider", key.subject)
            return EventOutcome.SUPERSEDED
        await self._desk.accounts.update(key, active=True, seen=seen)
        return EventOutcome.ENABLED
