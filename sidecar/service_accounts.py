"""Managing service accounts: each change is one write and one audit record.

Writers may meet (an operator, the admin API, a sync), so every write says what it expects to find
and begins again when somebody was faster. What a change keeps of the account is read anew each
time: a name written on top of a disabling leaves the account disabled.

Where writers meet, revocation wins. Beginning again never lets in a subject that was disabled or
deleted since we last looked: whoever wants that asks anew, knowing of it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from uuid import NAMESPACE_URL, uuid5

from sidecar.core.subject import (
    MAX_NAME_LENGTH,
    MAX_SUBJECT_LENGTH,
    Account,
    AccountStatus,
    SubjectKey,
    is_group,
    is_name,
    is_subject,
)
from sidecar.ports import (
    AccountExists,
    AccountNotFound,
    AccountStore,
    Auditor,
    AuditRecord,
    Clock,
    Contended,
)

_MAX_TRIES = 16


class BadAccount(ValueError):
    """What was asked for cannot stand as an account; the message says what can."""


@dataclass(frozen=True, slots=True)
class Seen:
    """An account as it was at some time; None where there was none."""

    account: Account | None

    def was_shut_out_by(self, now: Account | None) -> bool:
        """Say whether it was disabled, once more too, or deleted on the way to what is now."""
        if now is None:
            return self.account is not None
        return not now.is_active and now != self.account


class ServiceAccounts:
    """The use cases. ``actor`` is who the audit record names.

    Every method raises ``ports.StatusUnavailable`` when the store does not answer; whether a write
    that was under way was carried out is then not known.
    """

    def __init__(self, store: AccountStore, clock: Clock, auditor: Auditor, *, actor: str) -> None:
        self._store = store
        self._clock = clock
        self._auditor = auditor
        self._actor = actor

    async def create(
        self,
        key: SubjectKey,
        *,
        name: str = "",
        groups: Sequence[str] = (),
        active: bool = True,
        overwrite: bool = False,
        seen: Seen | None = None,
    ) -> Account:
        """Make an account, or with ``overwrite`` replace the one there is.

        Replacing is what Hoop's PUT does: groups and status are set, an empty name keeps the old.
        ``seen`` is what there was when this was asked for, perhaps long ago: nobody is let in who
        was shut out since.

        Raises:
            AccountExists: there is one, and ``overwrite`` was not asked for.
            BadAccount, Contended: see there.
        """
        _check(key, name, groups)
        asked = _account(key, name, groups, _status(active=active))

        def change(before: Account | None) -> Account:
            if active and seen is not None and seen.was_shut_out_by(before):
                raise Contended(f"{key.subject} was shut out meanwhile; nothing was written")
            if before is None:
                return asked
            if not overwrite:
                raise AccountExists(key)
            return replace(
                before,
                id=before.id or asked.id,
                name=name or before.name,
                groups=asked.groups,
                status=asked.status,
            )

        return await self._change(key, "create", change)

    async def update(
        self,
        key: SubjectKey,
        *,
        name: str | None = None,
        groups: Sequence[str] | None = None,
        active: bool | None = None,
        seen: Account | None = None,
    ) -> Account:
        """Change name, groups or status; None leaves them as they are.

        ``seen`` is the account that was judged when this was decided, perhaps long ago: nobody is
        let in again on the strength of it once the stored one is another.

        Raises:
            AccountNotFound, BadAccount, Contended: see there.
        """
        _check(key, name or "", groups or ())

        def change(before: Account | None) -> Account:
            account = _found(key, before)
            if active and seen is not None and account != seen:
                raise Contended(f"{key.subject} was changed meanwhile; nothing was written")
            return replace(
                account,
                name=account.name if name is None else name,
                groups=account.groups if groups is None else tuple(dict.fromkeys(groups)),
                status=account.status if active is None else _status(active=active),
            )

        return await self._change(key, "update", change)

    async def disable(self, key: SubjectKey) -> Account:
        """Shut the subject out. Raises AccountNotFound or Contended."""
        return await self._set_status(key, "disable", AccountStatus.INACTIVE)

    async def enable(self, key: SubjectKey) -> Account:
        """Let the subject in again. Raises AccountNotFound or Contended."""
        return await self._set_status(key, "enable", AccountStatus.ACTIVE)

    async def hold(self, key: SubjectKey) -> Account:
        """Shut the subject out until ``restore``, or for good if somebody disables it meanwhile.

        Raises:
            AccountNotFound, Contended: see there.
        """
        return await self._change(
            key,
            "hold",
            lambda before: replace(_found(key, before), status=AccountStatus.INACTIVE),
            held=True,
        )

    async def restore(self, key: SubjectKey, before: Account, held: Account) -> bool:
        """Take a ``hold`` back, unless somebody changed the account since; say whether it was."""
        after = replace(before, updated_at=self._clock.now(), updated_by=self._actor)
        stored = await self._store.put(key, after, expected=held)
        if stored is None:
            return False
        self._audit("restore", key, held, stored)
        return True

    async def delete(self, key: SubjectKey) -> None:
        """Remove the account; its subject is unknown from then on, and refused.

        Except where a route forwards the unregistered: to shut a subject out there, disable it.
        Tokens revoked by ``not_before`` stay revoked if the account is made anew.

        Raises:
            AccountNotFound: there is none.
        """
        before = _found(key, await self._store.get(key))
        # A change that comes between the two is removed as well. A disabling that comes after finds
        # no account to write: nothing but ``create`` makes one.
        if not await self._store.delete(key):
            raise AccountNotFound(key)
        self._audit("delete", key, before, None)

    async def get(self, key: SubjectKey) -> Account:
        """Return the account. Raises AccountNotFound."""
        return _found(key, await self._store.get(key))

    async def find(self, key: SubjectKey) -> Account | None:
        """Return the account, or None."""
        return await self._store.get(key)

    async def list(self, realm: str) -> Sequence[Account]:
        """Return all accounts of the realm, by subject."""
        return await self._store.list(realm)

    async def _set_status(self, key: SubjectKey, action: str, status: AccountStatus) -> Account:
        return await self._change(
            key, action, lambda before: replace(_found(key, before), status=status)
        )

    async def _change(
        self,
        key: SubjectKey,
        action: str,
        change: Callable[[Account | None], Account],
        *,
        held: bool = False,
    ) -> Account:
        was_in = False
        for _ in range(_MAX_TRIES):
            before = await self._store.get(key)
            after = change(before)
            # What is held is taken back if it is still the same: so who means it writes it anew.
            if after == before and not after.held:
                return after
            is_in = before is not None and before.is_active
            if was_in and not is_in and after.is_active:
                raise Contended(f"{key.subject} was shut out meanwhile; nothing was written")
            was_in = is_in
            now = self._clock.now()
            after = replace(after, updated_at=now, updated_by=self._actor, held=held)
            stored = await self._store.put(key, after, expected=before)
            if stored is not None:
                self._audit(action, key, before, stored)
                return stored
        raise Contended(f"{key.subject}: others kept changing it; nothing was written, try again")

    def _audit(
        self, action: str, key: SubjectKey, before: Account | None, after: Account | None
    ) -> None:
        self._auditor.audited(
            AuditRecord(self._clock.now(), self._actor, action, key, before, after)
        )


def _account(key: SubjectKey, name: str, groups: Sequence[str], status: AccountStatus) -> Account:
    return Account(
        id=str(uuid5(NAMESPACE_URL, f"serviceaccount/{key.subject}")),
        subject=key.subject,
        name=name,
        groups=tuple(dict.fromkeys(groups)),
        status=status,
    )


def _found(key: SubjectKey, account: Account | None) -> Account:
    if account is None:
        raise AccountNotFound(key)
    return account


def _status(*, active: bool) -> AccountStatus:
    return AccountStatus.ACTIVE if active else AccountStatus.INACTIVE


def _check(key: SubjectKey, name: str, groups: Sequence[str]) -> None:
    if not is_subject(key.subject):
        raise BadAccount(
            f"a subject is 1 to {MAX_SUBJECT_LENGTH} visible ASCII characters without blanks"
        )
    if not is_name(name):
        raise BadAccount(f"a name is at most {MAX_NAME_LENGTH} printable characters")
    for group in groups:
        if not is_group(group):
            raise BadAccount(
                f"{group[:40]!r} is no group: 1 to {MAX_SUBJECT_LENGTH} visible ASCII characters,"
                " blanks inside allowed, no comma"
            )
