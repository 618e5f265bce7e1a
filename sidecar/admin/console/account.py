"""The page of one account: what it is, what it has open, what was done to it; and doing it."""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from aiohttp import web

from sidecar.admin.answers import Refused
from sidecar.admin.console.backing import Backing
from sidecar.admin.console.cuts import MOST_STREAMS, Cuts, Measured
from sidecar.admin.console.entrance import Visit
from sidecar.admin.console.live import Live, event
from sidecar.admin.console.pages import Pages, redirect
from sidecar.admin.console.roster import Doings, Listing, link_of
from sidecar.admin.console.text import duration, plain
from sidecar.admin.desk import Row, Seen
from sidecar.core.subject import Account, SubjectKey, is_subject
from sidecar.ports import StatusUnavailable

_KEPT_ENDED = 20
_AUDIT_LOOKED_AT = 500
_AUDIT_SHOWN = 10


class AccountPage:
    """Shows and changes one account, as the API does."""

    def __init__(
        self,
        backing: Backing,
        pages: Pages,
        live: Live,
        listing: Listing,
        cuts: Cuts,
        *,
        look_seconds: float,
    ) -> None:
        self._backing = backing
        self._pages = pages
        self._live = live
        self._listing = listing
        self._cuts = cuts
        self._look_seconds = look_seconds

    async def show(self, visit: Visit) -> web.Response:
        """Return the page. Raises Refused, AccountNotFound or StatusUnavailable."""
        key = self._key(visit.query)
        account = await self._backing.accounts(visit.session.who).get(key)
        seen = await self._backing.desk.activity()
        uses = await self._uses(key)
        entry = Doings(key.realm, seen.rows, uses).entry(account)
        notice, visit.session.notice = visit.session.notice, ""
        return self._pages.page(
            "account",
            session=visit.session,
            here="accounts",
            key=key,
            entry=entry,
            notice=notice,
            link=link_of(key),
            events=link_of(key).replace("/console/account?", "/console/account/events?"),
            audit=await self._audit(key),
            now=self._backing.clock.now(),
            is_recorded=self._backing.read_uses is not None,
            **self._live_values(account, await self._streams(key), self._cuts.ended(key)),
        )

    async def events(self, visit: Visit) -> web.StreamResponse:
        """Keep the page's status and streams up to date. Raises as ``show``."""
        key = self._key(visit.query)
        accounts = self._backing.accounts(visit.session.who)
        await accounts.get(key)
        # Looked at before the page is told anything: what ends from here on is seen to end.
        before = list((await self._streams(key)).rows)
        ended = self._cuts.ended(key)
        told = ""

        async def next_events() -> str:
            nonlocal before, ended, told
            await asyncio.sleep(self._look_seconds)
            seen = await self._streams(key)
            gone = [{**row, "ended": self._backing.clock.now()} for row in _gone(before, seen.rows)]
            before, ended = list(seen.rows), [*gone, *ended][:_KEPT_ENDED]
            account = await accounts.find(key)
            html = self._pages.part("account_live", **self._live_values(account, seen, ended))
            if html == told:
                return ""
            told = html
            said = event("say", _ended_words(len(gone))) if gone else ""
            return event("replace", html) + said

        return await self._live.tell(visit, next_events)

    async def disable(self, visit: Visit) -> web.Response:
        """Shut it out, and say how fast that was."""
        key, who = self._key(visit.form), visit.session.who
        done = await self._cuts.measured(
            who, "disabled", key, lambda: self._backing.accounts(who).disable(key)
        )
        return self._done(visit, key, f"Disabled. {cut_words(done)}")

    async def enable(self, visit: Visit) -> web.Response:
        """Let it in again."""
        key = self._key(visit.form)
        await self._backing.accounts(visit.session.who).enable(key)
        return self._done(visit, key, "Enabled: its tokens are good again.")

    async def revoke_tokens(self, visit: Visit) -> web.Response:
        """Refuse every token that it has by now, and say how fast that was."""
        key, who = self._key(visit.form), visit.session.who
        done = await self._cuts.measured(
            who,
            "tokens revoked",
            key,
            lambda: self._backing.revocations(who).revoke_subject_tokens(key),
        )
        words = "Every token that it has by now is refused; a new one gets in."
        return self._done(visit, key, f"{words} {cut_words(done)}")

    def _done(self, visit: Visit, key: SubjectKey, notice: str) -> web.Response:
        self._listing.forget()
        visit.session.notice = notice
        return redirect(link_of(key))

    def _key(self, named: Mapping[str, str]) -> SubjectKey:
        subject = named.get("subject", "")
        if not is_subject(subject):
            raise Refused(404, "resource not found")
        return SubjectKey(self._backing.realms.find(named.get("realm")), subject)

    async def _streams(self, key: SubjectKey) -> Seen:
        return await self._backing.desk.streams(key.realm, key.subject, MOST_STREAMS)

    async def _uses(self, key: SubjectKey) -> Any:
        if self._backing.read_uses is None:
            return None
        try:
            return await self._backing.read_uses(key.realm, [key.subject])
        except StatusUnavailable:
            return None

    async def _audit(self, key: SubjectKey) -> Sequence[Mapping[str, Any]]:
        found = await self._backing.trail.newest(_AUDIT_LOOKED_AT, None)
        wanted = (key.realm, key.subject)
        records = [each.record for each in found]
        return [
            record for record in records if (record.get("realm"), record.get("subject")) == wanted
        ][:_AUDIT_SHOWN]

    def _live_values(
        self, account: Account | None, seen: Seen, ended: Sequence[Row]
    ) -> dict[str, Any]:
        return {
            "account": account,
            "streams": seen.rows,
            "ended": ended,
            "silent": seen.silent,
            "most": MOST_STREAMS,
        }


def _gone(before: Sequence[Row], now: Sequence[Row]) -> list[Row]:
    """Return the streams that were there before. None is gone for being beyond the limit."""
    if len(now) >= MOST_STREAMS:
        return []
    left = Counter(tuple(sorted(row.items())) for row in now)
    gone = Counter(tuple(sorted(row.items())) for row in before) - left
    return [dict(members) for members in gone.elements()]


def _ended_words(count: int) -> str:
    return "One stream has ended." if count == 1 else f"{count} streams have ended."


def cut_words(done: Measured) -> str:
    """Return in words what became of the streams that were open."""
    count = len(done.streams)
    if not count and done.seconds is None:
        return "Not all workers say whether it has something open."
    if not count:
        return "It had no open stream."
    what = "Its open stream" if count == 1 else f"All of its {count} open streams"
    if count >= MOST_STREAMS:
        what = f"All of its open streams (more than {MOST_STREAMS - 1})"
    if done.seconds is None:
        return f"Not yet over: {plain(what.lower())}. See below."
    return f"{what} ended within {duration(done.seconds)}."
