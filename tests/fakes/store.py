"""An account store over a dictionary."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from sidecar.core.subject import Account, SubjectKey


class FakeAccountStore:
    """Implements ``ports.AccountStore``. ``before_put`` runs before each write: somebody faster."""

    def __init__(self) -> None:
        self.accounts: dict[SubjectKey, Account] = {}
        self.deleted: dict[SubjectKey, float] = {}
        self.realm_not_before: dict[str, float] = {}
        self.revoked_tokens: dict[tuple[str, str], float] = {}
        self.writes = 0
        self.before_put: Callable[[], None] | None = None
        self.failure: Exception | None = None

    async def get(self, key: SubjectKey) -> Account | None:
        self.fail()
        return self.accounts.get(key)

    async def list(self, realm: str) -> Sequence[Account]:
        self.fail()
        return [self.accounts[key] for key in sorted(self.accounts) if key.realm == realm]

    async def put(
        self, key: SubjectKey, account: Account, *, expected: Account | None
    ) -> Account | None:
        self.fail()
        if self.before_put is not None:
            self.before_put()
        if self.accounts.get(key) != expected:
            return None
        not_before = max(account.not_before, self.deleted.pop(key, 0.0))
        stored = self.accounts[key] = replace(account, not_before=not_before)
        self.writes += 1
        return stored

    async def delete(self, key: SubjectKey) -> bool:
        self.fail()
        found = self.accounts.pop(key, None)
        if found is not None:
            self.deleted[key] = found.not_before
        return found is not None

    async def revoke_token(self, realm: str, token_id: str, until: float) -> None:
        self.fail()
        known = self.revoked_tokens.get((realm, token_id), 0.0)
        self.revoked_tokens[realm, token_id] = max(until, known)

    async def read_realm_not_before(self, realm: str) -> float:
        self.fail()
        return self.realm_not_before.get(realm, 0.0)

    async def set_realm_not_before(self, realm: str, moment: float) -> float:
        self.fail()
        self.realm_not_before[realm] = max(moment, self.realm_not_before.get(realm, 0.0))
        return self.realm_not_before[realm]

    def fail(self) -> None:
        """Raise the ``failure``, if there is one."""
        if self.failure is not None:
            raise self.failure
