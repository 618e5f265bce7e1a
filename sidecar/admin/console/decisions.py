"""The page of decisions: the latest ones, and those to come as they are made."""

import asyncio
from collections.abc import Mapping, Sequence
from urllib.parse import urlencode

from aiohttp import web

from sidecar.admin.console.backing import Backing
from sidecar.admin.console.entrance import Visit
from sidecar.admin.console.live import Live, event
from sidecar.admin.console.pages import Pages
from sidecar.admin.desk import Next, Row
from sidecar.core.decision import DenyReason
from sidecar.observability.recent_decisions import Wanted

SHOWN = 100
# Of a look: what comes within it is told at once. Hundreds of changes a second help nobody.
_GATHERED = 0.2
_LONGEST = 255
_OUTCOMES = ("granted", "denied")
_REASONS = tuple(reason.value for reason in DenyReason)


class DecisionsPage:
    """Shows decisions."""

    def __init__(self, backing: Backing, pages: Pages, live: Live, *, look_seconds: float) -> None:
        self._backing = backing
        self._pages = pages
        self._live = live
        self._look_seconds = look_seconds

    async def show(self, visit: Visit) -> web.Response:
        """Return the page."""
        wanted = read_wanted(visit.query)
        found = await self._backing.desk.decisions(wanted, SHOWN)
        query = _query_of(wanted)
        return self._pages.page(
            "decisions",
            session=visit.session,
            here="decisions",
            wanted=wanted,
            rows=[_whole(row) for row in found.rows],
            silent=found.silent,
            outcomes=_OUTCOMES,
            reasons=_REASONS,
            routes=self._backing.facts.routes,
            realms=self._backing.realms.names,
            link=f"/console/decisions?{query}",
            events=f"/console/decisions/events?{query}",
            most=SHOWN,
            now=self._backing.clock.now(),
        )

    async def events(self, visit: Visit) -> web.StreamResponse:
        """Tell decisions as they are made. Raises Refused."""
        wanted = read_wanted(visit.query)
        async with self._backing.desk.followed(wanted) as following:

            async def next_events() -> str:
                rows = await self._gather(following)
                if not rows:
                    return ""
                newest_first = [_whole(row) for row in reversed(rows)]
                return event("prepend", self._pages.part("decision_rows", rows=newest_first))

            return await self._live.tell(visit, next_events)

    async def _gather(self, following: Next) -> Sequence[Row]:
        rows: list[Row] = []
        try:
            async with asyncio.timeout(self._look_seconds):
                rows.append(await following())
            async with asyncio.timeout(self._look_seconds * _GATHERED):
                while len(rows) < SHOWN:
                    rows.append(await following())
        except TimeoutError:
            pass
        return rows


def read_wanted(query: Mapping[str, str]) -> Wanted:
    """Read the filter; what makes no sense counts as nothing."""
    outcome, reason = query.get("outcome", ""), query.get("reason", "")
    return Wanted(
        outcome if outcome in _OUTCOMES else "",
        reason if reason in _REASONS else "",
        query.get("realm", "")[:_LONGEST],
        query.get("subject", "").strip()[:_LONGEST],
        query.get("route", "")[:_LONGEST],
    )


def _whole(row: Row) -> Row:
    """Return the row with every member that a template looks at: who called is not always known."""
    unsaid = dict.fromkeys(("realm", "subject", "detail", "reason", "route"), "")
    return {**unsaid, "enforced": True, **row}


def _query_of(wanted: Wanted) -> str:
    members = {
        "outcome": wanted.outcome,
        "reason": wanted.reason,
        "realm": wanted.realm,
        "subject": wanted.subject,
        "route": wanted.route,
    }
    return urlencode({name: word for name, word in members.items() if word})
