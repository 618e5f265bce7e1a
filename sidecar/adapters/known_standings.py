"""What the account view has been told and not yet told to forget, bounded (LRU)."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from enum import Enum, auto
from typing import Any, Final, Generic, TypeVar

from sidecar.core.subject import Account, Standing, SubjectKey, read_account, read_not_before
from sidecar.ports import Change

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class _Missing(Enum):
    MISSING = auto()


_MISSING: Final = _Missing.MISSING


class KnownStandings:
    """Accounts, realms and revoked tokens as last read. It knows nothing of leases.

    ``fill_*`` return what reads a reply of Redis, keeps what it says and returns it. They raise
    TypeError or ValueError for a reply of another kind.
    """

    def __init__(self, capacity: int) -> None:
        self._accounts: _Bounded[SubjectKey, Account | None] = _Bounded(capacity)
        self._realms: _Bounded[str, float] = _Bounded(capacity)
        self._revoked: _Bounded[tuple[str, str], bool] = _Bounded(capacity)

    def look_up(self, subject: SubjectKey, token_id: str | None) -> Standing | None:
        account = self._accounts.get(subject)
        not_before = self._realms.get(subject.realm)
        if account is _MISSING or not_before is _MISSING:
            return None
        if token_id is None:
            return Standing(account, not_before)
        revoked = self._revoked.get((subject.realm, token_id))
        return None if revoked is _MISSING else Standing(account, not_before, revoked)

    def fill_account(self, subject: SubjectKey) -> Callable[[Any], Account | None]:
        def fill(reply: Any) -> Account | None:
            account = read_account(subject.subject, _texts(reply))
            self._accounts.put(subject, account)
            return account

        return fill

    def fill_realm(self, realm: str) -> Callable[[Any], float]:
        def fill(reply: Any) -> float:
            not_before = read_not_before(_texts(reply).get("not_before"))
            self._realms.put(realm, not_before)
            return not_before

        return fill

    def fill_revoked(self, realm: str, token_id: str) -> Callable[[Any], bool]:
        def fill(reply: Any) -> bool:
            revoked = int(reply) != 0
            self._revoked.put((realm, token_id), revoked)
            return revoked

        return fill

    def forget(self, change: Change) -> None:
        """Forget what the change concerns: one account, one token, or a realm's ``not_before``."""
        realm = change.realm or ""
        if change.subject is not None:
            self._accounts.drop(SubjectKey(realm, change.subject))
        elif change.token_id is not None:
            self._revoked.drop((realm, change.token_id))
        else:
            self._realms.drop(realm)

    def forget_all(self) -> None:
        self._accounts.clear()
        self._realms.clear()
        self._revoked.clear()


class _Bounded(Generic[K, V]):
    """A dict that forgets the least recently used beyond its capacity."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._items: OrderedDict[K, V] = OrderedDict()

    def get(self, key: K) -> V | _Missing:
        value = self._items.get(key, _MISSING)
        if value is not _MISSING:
            self._items.move_to_end(key)
        return value

    def put(self, key: K, value: V) -> None:
        self._items[key] = value
        self._items.move_to_end(key)
        if len(self._items) > self._capacity:
            self._items.popitem(last=False)

    def drop(self, key: K) -> None:
        self._items.pop(key, None)

    def clear(self) -> None:
        self._items.clear()


def _texts(reply: Any) -> dict[str, str]:
    if not isinstance(reply, dict):
        raise TypeError("not a hash")
    return {
        name.decode(errors="replace"): value.decode(errors="replace")
        for name, value in reply.items()
    }
