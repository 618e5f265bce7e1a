"""An account view over a dictionary."""

import asyncio
from collections.abc import Callable

from sidecar.core.subject import Account, Standing, SubjectKey
from sidecar.ports import Change


class FakeAccountView:
    """Implements ``ports.AccountView``: what was read or preloaded is at hand, until it changes.

    ``accounts``, ``realm_not_before`` and ``revoked_tokens`` are the store behind the view; write
    there and call ``change`` to have it heard. ``live`` is the lease. A read raises ``failure``
    if there is one, waits for ``held`` if it is set, and then calls ``on_read``.
    """

    def __init__(self) -> None:
        self.accounts: dict[SubjectKey, Account] = {}
        self.realm_not_before: dict[str, float] = {}
        self.revoked_tokens: set[tuple[str, str]] = set()
        self.live = True
        self.reads: list[tuple[SubjectKey, str | None]] = []
        self.failure: Exception | None = None
        self.held: asyncio.Event | None = None
        self.on_read: Callable[[SubjectKey], None] | None = None
        self._at_hand: dict[tuple[SubjectKey, str | None], Standing] = {}
        self._listeners: list[Callable[[Change], None]] = []

    def preload(self, subject: SubjectKey, token_id: str | None = None) -> None:
        """Have the standing at hand without a read."""
        self._at_hand[subject, token_id] = self._standing(subject, token_id)

    def change(self, change: Change) -> None:
        """Forget what the change concerns, then tell the listeners, as the real view does."""
        for subject, token_id in list(self._at_hand):
            if (
                change.realm in (None, subject.realm)
                and change.subject in (None, subject.subject)
                and change.token_id in (None, token_id)
            ):
                del self._at_hand[subject, token_id]
        for listener in self._listeners:
            listener(change)

    def is_live(self) -> bool:
        return self.live

    def look_up(self, subject: SubjectKey, token_id: str | None) -> Standing | None:
        return self._at_hand.get((subject, token_id)) if self.live else None

    async def read(self, subject: SubjectKey, token_id: str | None) -> Standing:
        self.reads.append((subject, token_id))
        standing = self._standing(subject, token_id)
        self._at_hand[subject, token_id] = standing
        if self.held is not None:
            await self.held.wait()
        if self.failure is not None:
            self._at_hand.pop((subject, token_id), None)
            raise self.failure
        if self.on_read is not None:
            self.on_read(subject)
        return standing

    def watch(self, listener: Callable[[Change], None]) -> None:
        self._listeners.append(listener)

    def _standing(self, subject: SubjectKey, token_id: str | None) -> Standing:
        return Standing(
            account=self.accounts.get(subject),
            realm_not_before=self.realm_not_before.get(subject.realm, 0.0),
            token_revoked=(subject.realm, token_id) in self.revoked_tokens,
        )
