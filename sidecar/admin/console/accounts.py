"""The page of all accounts of a realm."""

from collections.abc import Sequence
from math import ceil
from typing import Any

from aiohttp import web

from sidecar.admin.console.backing import Backing
from sidecar.admin.console.entrance import Visit
from sidecar.admin.console.pages import Pages
from sidecar.admin.console.roster import (
    COLUMNS,
    PAGE,
    STATUSES,
    Asked,
    Listing,
    entries,
    link_of,
    matching,
    ordered,
    read_asked,
)
from sidecar.core.last_use import UseRecord
from sidecar.core.subject import Account
from sidecar.ports import StatusUnavailable

_TITLES = dict(
    zip(
        COLUMNS,
        ("Subject", "Name", "Status", "Last seen", "Requests/s", "Open streams", "Changed"),
        strict=True,
    )
)


class AccountsPage:
    """Shows accounts."""

    def __init__(self, backing: Backing, pages: Pages, listing: Listing) -> None:
        self._backing = backing
        self._pages = pages
        self._listing = listing

    async def show(self, visit: Visit) -> web.Response:
        """Return the page. Raises Refused or StatusUnavailable."""
        backing = self._backing
        asked = read_asked(visit.query, backing.realms.find(visit.query.get("realm")))
        everybody = await self._listing.of(asked.realm, backing.accounts(visit.session.who))
        found = matching(everybody, asked)
        last = max(1, ceil(len(found) / PAGE))
        first = (min(asked.page, last) - 1) * PAGE
        seen = await backing.desk.activity()
        # What does not sort the list is read for the page alone.
        is_early = asked.column in ("seen", "rate", "streams")
        shown = found if is_early else _page_by_account(found, asked, first)
        uses, problem = await self._read_uses(asked, shown)
        rows = entries(asked.realm, shown, seen.rows, uses)
        if is_early:
            rows = ordered(rows, asked)[first : first + PAGE]
        return self._pages.page(
            "accounts",
            session=visit.session,
            here="accounts",
            asked=asked,
            realms=backing.realms.names,
            statuses=STATUSES,
            columns=_TITLES,
            rows=[(row, link_of(row.key(asked.realm)) if row.has_page else "") for row in rows],
            counts=_counts(everybody),
            found=len(found),
            first=first,
            last=last,
            page=min(asked.page, last),
            silent=seen.silent,
            now=backing.clock.now(),
            is_recorded=backing.read_uses is not None,
            problem=problem,
        )

    async def _read_uses(
        self, asked: Asked, accounts: Sequence[Account]
    ) -> tuple[UseRecord | None, bool]:
        """Return what is recorded, and whether it could not be read: the list is shown without."""
        if self._backing.read_uses is None:
            return None, False
        try:
            subjects = [account.subject for account in accounts]
            return await self._backing.read_uses(asked.realm, subjects), False
        except StatusUnavailable:
            return None, True


def _page_by_account(found: list[Account], asked: Asked, first: int) -> list[Account]:
    rows = ordered(entries(asked.realm, found, (), None), asked)
    return [row.account for row in rows[first : first + PAGE]]


def _counts(accounts: Sequence[Account]) -> dict[str, Any]:
    active = sum(account.is_active for account in accounts)
    return {"all": len(accounts), "active": active, "inactive": len(accounts) - active}
