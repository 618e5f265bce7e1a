"""Accounts in this process alone: for development, and for a sidecar that lets nobody in yet."""

from collections.abc import Callable, Sequence

from sidecar.core.subject import Account, Standing, SubjectKey
from sidecar.ports import Change


class MemoryAccounts:
    """Implements ``ports.AccountView`` and ``ports.AccountStore``; what is written is at hand."""

    def __init__(self) -> None:
        self._accounts: dict[SubjectKey, Account] = {}
        self._listeners: list[Callable[[Change], None]] = []

    def is_live(self) -> bool:
        return True

    def look_up(self, subject: SubjectKey, token_id: str | None) -> Standing | None:
        del token_id
        return Standing(self._accounts.get(subject))

    async def read(self, subject: SubjectKey, token_id: str | None) -> Standing:
        del token_id
        return Standing(self._accounts.get(subject))

    def watch(self, listener: Callable[[Change], None]) -> None:
        self._listeners.append(listener)

    async def get(self, key: SubjectKey) -> Account | None:
        return self._accounts.get(key)

    async def list(self, realm: str) -> Sequence[Account]:
        return [self._accounts[key] for key in sorted(self._accounts) if key.realm == realm]

    async def put(self, key: SubjectKey, account: Account, *, expected: Account | None) -> bool:
        if self._accounts.get(key) != expected:
            return False
        self._accounts[key] = account
        self._tell(key)
        return True

    async def delete(self, key: SubjectKey) -> bool:
        found = self._accounts.pop(key, None) is not None
        if found:
            self._tell(key)
        return found

    def _tell(self, key: SubjectKey) -> None:
        for listener in self._listeners:
            listener(Change(key.realm, key.subject))
