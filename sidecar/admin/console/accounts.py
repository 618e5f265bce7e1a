"""The page of all accounts of a realm."""

from collections.abc import Sequence
from functools import partial
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
    Doings,
    Listing,
    aside,
    first_of,
    link_of,
    matching,
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
        found = await aside(everybody, partial(matching, asked=asked))
        seen = await backing.desk.activity()
        first = first_of(asked, len(found))
        # When accounts were last used is read of all of them only if that is their order.
        by_use = asked.column == "seen"
        uses, problem = await self._read_uses(asked, found if by_use else ())

        doings = Doings(asked.realm, seen.rows, uses)
        page = (await aside(found, partial(doings.ordered, asked=asked)))[first : first + PAGE]
        if not by_use:
            uses, problem = await self._read_uses(asked, page)
            doings = Doings(asked.realm, seen.rows, uses)
        rows = [doings.entry(account) for account in page]
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
            page=first // PAGE + 1,
            last=max(1, ceil(len(found) / PAGE)),
            silent=seen.silent,
            now=backing.clock.now(),
            is_recorded=backing.read_uses is not None,
            problem=problem,
        )

    async def _read_uses(
        self, asked: Asked, accounts: Sequence[Account]
    ) -> tuple[UseRecord | None, bool]:
        """Return what is recorded, and whether it could not be read: the list is shown without."""
        if self._backing.read_uses is None or not accounts:
            return None, False
        try:
            subjects = [account.subject for account in accounts]
            return await self._backing.read_uses(asked.realm, subjects), False
        except StatusUnavailable:
            return None, True


def _counts(accounts: Sequence[Account]) -> dict[str, Any]:
    active = sum(account.is_active for account in accounts)
    return {"all": len(accounts), "active": active, "inactive": len(accounts) - active}
