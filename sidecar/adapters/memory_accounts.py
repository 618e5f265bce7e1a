"""Accounts in this process alone: for development, and for a sidecar that lets nobody in yet."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from sidecar.core.subject import Account, Standing, SubjectKey
from sidecar.ports import Change


class MemoryAccounts:
    """Implements ``ports.AccountView`` and ``ports.AccountStore``; what is written is at hand.

    A revoked token is remembered to the end of the process: it asks no clock.
    """

    def __init__(self) -> None:
        self._accounts: dict[SubjectKey, Account] = {}
        self._deleted: dict[SubjectKey, float] = {}
        self._realms: dict[str, float] = {}
        self._revoked: set[tuple[str, str]] = set()
        self._listeners: list[Callable[[Change], None]] = []

    def is_live(self) -> bool:
        return True

    def look_up(self, subject: SubjectKey, token_id: str | None) -> Standing | None:
        return self._standing(subject, token_id)

    async def read(self, subject: SubjectKey, token_id: str | None) -> Standing:
        return self._standing(subject, token_id)

    def watch(self, listener: Callable[[Change], None]) -> None:
        self._listeners.append(listener)

    async def get(self, key: SubjectKey) -> Account | None:
        return self._accounts.get(key)

    async def list(self, realm: str) -> Sequence[Account]:
        return [self._accounts[key] for key in sorted(self._accounts) if key.realm == realm]

    async def put(
        self, key: SubjectKey, account: Account, *, expected: Account | None
    ) -> Account | None:
        if self._accounts.get(key) != expected:
            return None
        not_before = max(account.not_before, self._deleted.pop(key, 0.0))
        stored = self._accounts[key] = replace(account, not_before=not_before)
        self._tell(Change(key.realm, key.subject))
        return stored

    async def delete(self, key: SubjectKey) -> bool:
        found = self._accounts.pop(key, None)
        if found is None:
            return False
        if found.not_before:
            self._deleted[key] = found.not_before
        self._tell(Change(key.realm, key.subject))
        return True

    async def revoke_token(self, realm: str, token_id: str, until: float) -> None:
        del until
        self._revoked.add((realm, token_id))
        self._tell(Change(realm, token_id=token_id))

    async def read_realm_not_before(self, realm: str) -> float:
        return self._realms.get(realm, 0.0)

    async def set_realm_not_before(self, realm: str, moment: float) -> float:
        in_force = self._realms[realm] = max(moment, self._realms.get(realm, 0.0))
        self._tell(Change(realm))
        return in_force

    def _standing(self, subject: SubjectKey, token_id: str | None) -> Standing:
        return Standing(
            self._accounts.get(subject),
            self._realms.get(subject.realm, 0.0),
            (subject.realm, token_id) in self._revoked,
        )

    def _tell(self, change: Change) -> None:
        for listener in self._listeners:
            listener(change)


class SoleLeader:
    """Implements ``account_sync.Leader`` where there is one process: it always leads."""

    def is_leading(self) -> bool:
        return True

    async def campaign(self) -> None: ...

    async def resign(self) -> None: ...
