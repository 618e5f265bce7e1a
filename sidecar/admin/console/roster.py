"""The list of accounts as a page shows it: searched, sorted, a page of it.

However many accounts there are, a realm is listed once at a time, and for a while not again.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar
from urllib.parse import urlencode

from sidecar.admin.desk import Row
from sidecar.core.last_use import UseRecord
from sidecar.core.subject import Account, SubjectKey, is_subject
from sidecar.ports import Clock
from sidecar.service_accounts import ServiceAccounts

PAGE = 50
COLUMNS = ("subject", "name", "status", "seen", "rate", "streams", "updated")
STATUSES = ("active", "inactive")
_LEAST_KEPT_SECONDS = 1.0
_KEPT_TIMES = 5.0
_LONGEST_SEARCH = 255
# To search and sort so many takes some milliseconds.
_AT_ONCE = 1000

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Asked:
    """Which accounts are to be shown, and in what order: ``sort`` is a column, ``-`` in front."""

    realm: str
    search: str = ""
    status: str = ""
    sort: str = "subject"
    page: int = 1

    @property
    def column(self) -> str:
        return self.sort.removeprefix("-")

    @property
    def is_descending(self) -> bool:
        return self.sort.startswith("-")

    def link(self, **changed: str | int) -> str:
        """Return the address of the list with something changed."""
        asked = replace(self, **changed)  # type: ignore[arg-type]
        words = {
            "realm": asked.realm,
            "q": asked.search,
            "status": asked.status,
            "sort": "" if asked.sort == "subject" else asked.sort,
            "page": "" if asked.page == 1 else str(asked.page),
        }
        return "/console/?" + urlencode({name: word for name, word in words.items() if word})

    def sorted_by(self, column: str) -> str:
        """Return the address of the list sorted by that column, the other way on second thought."""
        # Of figures and times the largest are what somebody looks for.
        first = "-" if column in ("seen", "rate", "streams", "updated") else ""
        sort = f"{first}{column}"
        if sort == self.sort:
            sort = column if first else f"-{column}"
        return self.link(sort=sort, page=1)


def read_asked(query: Mapping[str, str], realm: str) -> Asked:
    """Read what is asked for; what makes no sense counts as nothing."""
    sort, page = query.get("sort", ""), query.get("page", "")
    status = query.get("status", "")
    return Asked(
        realm,
        query.get("q", "").strip()[:_LONGEST_SEARCH],
        status if status in STATUSES else "",
        sort if sort.removeprefix("-") in COLUMNS else "subject",
        max(1, int(page)) if page.isascii() and page.isdigit() and len(page) < 8 else 1,
    )


@dataclass(frozen=True, slots=True)
class Entry:
    """An account and what it does now. ``seen`` is in epoch seconds; 0 for never, or unknown."""

    account: Account
    streams: int = 0
    rate: float = 0.0
    seen: float = 0.0

    def key(self, realm: str) -> SubjectKey:
        return SubjectKey(realm, self.account.subject)

    @property
    def has_page(self) -> bool:
        """Whether a token can have this subject; of others nothing can be done here."""
        return is_subject(self.account.subject)


class Listing:
    """A realm's accounts, kept for a moment: for some times as long as it took to list them."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._turn = asyncio.Lock()
        self._kept: dict[str, tuple[Sequence[Account], float]] = {}

    async def of(self, realm: str, accounts: ServiceAccounts) -> Sequence[Account]:
        """Return the accounts, by subject. Raises StatusUnavailable."""
        async with self._turn:
            listed, until = self._kept.get(realm, ((), 0.0))
            began = self._clock.steady()
            if began >= until:
                listed = await accounts.list(realm)
                now = self._clock.steady()
                kept = max(_LEAST_KEPT_SECONDS, _KEPT_TIMES * (now - began))
                self._kept[realm] = (listed, now + kept)
            return listed

    def forget(self) -> None:
        """List anew next time: something was changed."""
        self._kept.clear()


def matching(accounts: Iterable[Account], asked: Asked) -> list[Account]:
    """Return those that are asked for: subject, name or a group has the words in it."""
    wanted = asked.search.casefold()
    return [
        each
        for each in accounts
        if asked.status in ("", each.status.value)
        and (
            not wanted
            or wanted in each.subject.casefold()
            or wanted in each.name.casefold()
            or any(wanted in group.casefold() for group in each.groups)
        )
    ]


class Doings:
    """What accounts of a realm do now, by ``activity``, and when they were last used."""

    def __init__(self, realm: str, activity: Iterable[Row], uses: UseRecord | None) -> None:
        self._busy = {row["subject"]: row for row in activity if row["realm"] == realm}
        self._recorded = {} if uses is None else uses.by_subject

    def streams(self, account: Account) -> int:
        row = self._busy.get(account.subject)
        return 0 if row is None else int(row["streams"])

    def rate(self, account: Account) -> float:
        row = self._busy.get(account.subject)
        return 0.0 if row is None else float(row["rate"])

    def seen(self, account: Account) -> float:
        """Return when it was last seen (epoch seconds); 0 for never, or unknown."""
        row, use = self._busy.get(account.subject), self._recorded.get(account.subject)
        return max(0.0 if row is None else row["seen"], 0.0 if use is None else use.last_seen)

    def entry(self, account: Account) -> Entry:
        """Return the account with what it does."""
        return Entry(account, self.streams(account), self.rate(account), self.seen(account))

    def ordered(self, accounts: Iterable[Account], asked: Asked) -> list[Account]:
        """Return them in the order that is asked for; those that are alike stay as they are.

        Nothing is made for each of them: of very many that would take longest.
        """
        keys: Mapping[str, Callable[[Account], str | float]] = {
            "subject": lambda each: each.subject,
            "name": lambda each: each.name.casefold(),
            "status": lambda each: each.status.value,
            "seen": self.seen,
            "rate": self.rate,
            "streams": self.streams,
            "updated": lambda each: each.updated_at,
        }
        return sorted(accounts, key=keys[asked.column], reverse=asked.is_descending)


def first_of(asked: Asked, found: int) -> int:
    """Return the number of the page's first account, of so many; beyond the last page is there."""
    return min(asked.page - 1, max(0, found - 1) // PAGE) * PAGE


async def aside(
    accounts: Sequence[Account], work: Callable[[Sequence[Account]], list[_T]]
) -> list[_T]:
    """Work on the accounts, of which there may be very many: then requests go on meanwhile."""
    if len(accounts) <= _AT_ONCE:
        return work(accounts)
    return await asyncio.to_thread(work, accounts)


def link_of(key: SubjectKey) -> str:
    """Return the address of an account's page."""
    return "/console/account?" + urlencode(key._asdict())
