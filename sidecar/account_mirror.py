"""Service accounts that are changed at the Hoop gateway, through us: ours change with them.

Deny early, grant late. Who is to be shut out is shut out here before the gateway is asked, and let
in again if it refuses; who is to be let in is written once it has agreed. Where it is not known
what the gateway did, whoever was shut out stays so; and so does whoever is shut out here while the
gateway is asked to let them in. Else an admin who has such requests under way all the time could
not be disabled.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sidecar.core.gateway_change import (
    GatewayChange,
    read_change,
    read_outcome,
    shut_out_by,
    subject_of,
)
from sidecar.core.principal import Principal
from sidecar.core.subject import Account, SubjectKey
from sidecar.core.wanted_accounts import NotAccounts
from sidecar.ports import AccountNotFound, Contended, StatusUnavailable
from sidecar.service_accounts import BadAccount, Seen, ServiceAccounts

log = logging.getLogger(__name__)

_REQUEST_TIMEOUT = 408
_CONFLICT = 409


@dataclass(frozen=True, slots=True)
class MirrorRules:
    """Whose accounts they are, and who may have them shut out before the gateway agrees.

    Everybody may ask; if everybody's word counted at once, anybody could cut anybody's streams.
    ``prefix`` is the path of the gateway's API_URL.
    """

    realm: str = "default"
    admin_groups: frozenset[str] = frozenset({"admin"})
    prefix: str = ""


class NotMirrored(Exception):
    """The stored account is not what the gateway's is; the message is for the caller.

    ``may_be_repeated`` is false where the same request would fail again.
    """

    def __init__(self, message: str, *, may_be_repeated: bool = True) -> None:
        super().__init__(message)
        self.may_be_repeated = may_be_repeated


@dataclass(frozen=True, slots=True)
class Hold:
    """An account that was shut out early: as it was, and as it is."""

    key: SubjectKey
    before: Account
    after: Account


class AccountMirror:
    """Follows one request at a time through ``look``, ``before`` and ``after``.

    ``accounts`` makes the use cases for an actor, whom the audit record names.
    """

    def __init__(self, accounts: Callable[[str], ServiceAccounts], rules: MirrorRules) -> None:
        self._accounts = accounts
        self._rules = rules

    def change_of(self, method: str, path: str) -> GatewayChange | None:
        """Return the change that this request asks the gateway for, or None."""
        return read_change(method, path, self._rules.prefix)

    async def look(
        self, change: GatewayChange, body: bytes, principal: Principal | None
    ) -> Account | None:
        """Return the account as it is before the gateway is asked; None where there is none.

        Raises:
            NotMirrored: the store does not answer, or the account is the caller's own, and was
                disabled since the request was granted. The gateway must not be asked.
        """
        subject = subject_of(change, body)
        if subject is None:
            return None
        key = SubjectKey(self._rules.realm, subject)
        try:
            account = await self._accounts_of(principal).find(key)
        except StatusUnavailable as problem:
            log.error("an account could not be looked at: %s", problem)  # noqa: TRY400
            raise _not_asked() from None
        is_own = principal is not None and principal.key == key
        if is_own and account is not None and not account.is_active:
            raise NotMirrored("access revoked; the gateway was not asked", may_be_repeated=False)
        return account

    async def before(
        self, change: GatewayChange, body: bytes, principal: Principal | None
    ) -> Hold | None:
        """Shut out whom the request is to shut out, if the caller may have that done.

        Raises:
            NotMirrored: the store does not answer. The gateway must not be asked.
        """
        subject = shut_out_by(change, body)
        if subject is None or principal is None:
            return None
        if self._rules.admin_groups.isdisjoint(principal.groups):
            return None
        key, accounts = SubjectKey(self._rules.realm, subject), self._accounts_of(principal)
        try:
            before = await accounts.find(key)
            if before is None or not before.is_active:
                return None
            return Hold(key, before, await accounts.hold(key))
        except AccountNotFound:
            return None  # deleted meanwhile
        except (StatusUnavailable, Contended) as problem:
            log.error("an account could not be shut out: %s", problem)  # noqa: TRY400
            raise _not_asked() from None

    async def after(
        self,
        change: GatewayChange,
        seen: Account | None,
        hold: Hold | None,
        status: int,
        answer: bytes,
        principal: Principal | None,
    ) -> None:
        """Store what the gateway has agreed to, or take back what it has not.

        ``seen`` and ``hold`` are what ``look`` and ``before`` returned.

        Raises:
            NotMirrored: that failed; nobody is let in who should not be.
        """
        accounts = self._accounts_of(principal)
        with _told_to_the_caller():
            if 200 <= status < 300:
                was = Seen(seen if hold is None else hold.after)
                await self._store(change, was, answer, accounts)
            elif hold is not None and _is_refusal(status):
                await self._take_back(hold, status, accounts)
            elif hold is not None:
                log.warning(
                    "%s stays shut out: the gateway answered %d, and may have done it",
                    hold.key.subject, status,
                )  # fmt: skip

    async def _store(
        self, change: GatewayChange, seen: Seen, answer: bytes, accounts: ServiceAccounts
    ) -> None:
        wanted = read_outcome(change, answer)
        await accounts.create(
            SubjectKey(self._rules.realm, wanted.subject),
            name=wanted.name,
            groups=wanted.groups,
            active=wanted.is_active,
            overwrite=True,
            seen=seen,
        )

    async def _take_back(self, hold: Hold, status: int, accounts: ServiceAccounts) -> None:
        if await accounts.restore(hold.key, hold.before, hold.after):
            # Hoop's documented command for disabling POSTs, and gets 409 for who exists.
            hint = "; to disable it, PUT: hoop's --overwrite" if status == _CONFLICT else ""
            log.warning(
                "%s is active as before: the gateway answered %d%s", hold.key.subject, status, hint
            )

    def _accounts_of(self, principal: Principal | None) -> ServiceAccounts:
        caller = "somebody" if principal is None else principal.key.subject
        return self._accounts(f"gateway: {caller}")


@contextmanager
def _told_to_the_caller() -> Iterator[None]:
    try:
        yield
    except NotAccounts as problem:
        log.error("the gateway's answer is no account: %s", problem)  # noqa: TRY400
        raise NotMirrored(
            "the gateway changed the account, but its answer cannot be read",
            may_be_repeated=False,
        ) from None
    except BadAccount as problem:
        raise NotMirrored(
            f"the gateway has the account, but it cannot be let in: {problem}",
            may_be_repeated=False,
        ) from None
    except Contended as problem:
        log.error("an account of the gateway was not stored: %s", problem)  # noqa: TRY400
        raise NotMirrored(
            "the gateway has answered, but others changed the account here meanwhile; "
            "repeat the command, with --overwrite, if it still holds"
        ) from None
    except StatusUnavailable as problem:
        log.error("an account of the gateway could not be stored: %s", problem)  # noqa: TRY400
        raise NotMirrored(
            "the gateway has answered, but the account store does not; "
            "repeat the command, with --overwrite if the account exists by now"
        ) from None


def _not_asked() -> NotMirrored:
    return NotMirrored("the account store does not answer; the gateway was not asked, try again")


def _is_refusal(status: int) -> bool:
    # A 5xx may be a proxy's on the way, or come after the change was committed; so may a 408.
    return 300 <= status < 500 and status != _REQUEST_TIMEOUT
