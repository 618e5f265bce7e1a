"""The issuers' status lists: fetched when a token refers to one, refreshed before they age.

The address comes out of a signed token and begins as the settings allow; no redirect is followed.
A failure never replaces a list, and never makes one last longer than it says.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from sidecar.adapters.bounded_fetch import FetchFailed
from sidecar.adapters.outage_log import OutageLog
from sidecar.adapters.provider_keys import Provider
from sidecar.core.bearer import BearerToken
from sidecar.core.decision import Denied, DenyReason
from sidecar.core.issuer import Issuer
from sidecar.core.status_list import (
    STATUS_LIST_TYPES,
    BadStatusList,
    StatusList,
    read_status_list,
)
from sidecar.core.token import UnverifiedToken, VerifiedToken, read_token
from sidecar.ports import Clock, FetchOutcome
from sidecar.status_lists import StatusListObserver, StatusListUnavailable

log = logging.getLogger(__name__)

_REFRESHED_AT = 0.8  # of its life
_COOL_DOWN = 1.0
_LOOK_SECONDS = 0.5
_MAX_LISTS = 64
_LONGEST_UNUSED = 600.0

Fetch = Callable[[str, Provider], Awaitable[bytes]]
Verify = Callable[[UnverifiedToken, Issuer], Awaitable[VerifiedToken]]


@dataclass(slots=True)
class _Entry:
    found: StatusList | None = None
    refresh_at: float = 0.0
    until: float = 0.0
    used_at: float = 0.0
    rests_until: float = 0.0
    flight: "asyncio.Future[None] | None" = None


class StatusListSource:
    """Implements ``status_lists.StatusLists``. ``run`` refreshes what is in use.

    ``verify`` verifies a token with the issuer's keys. ``max_ages`` is by issuer how many seconds a
    list counts at most.
    """

    def __init__(
        self,
        providers: Iterable[Provider],
        fetch: Fetch,
        verify: Verify,
        clock: Clock,
        observer: StatusListObserver,
        max_ages: Mapping[str, float],
    ) -> None:
        self._providers: Mapping[str, Provider] = {each.issuer.name: each for each in providers}
        self._fetch = fetch
        self._verify = verify
        self._clock = clock
        self._observer = observer
        self._max_ages = max_ages
        self._entries: OrderedDict[tuple[str, str], _Entry] = OrderedDict()
        self._outages = {
            name: OutageLog(f"a status list of {name}", "requests that need it get 503")
            for name in self._providers
        }

    def look_up(self, issuer: str, uri: str) -> StatusList | None:
        entry = self._entries.get((issuer, uri))
        if entry is None:
            return None
        now = entry.used_at = self._clock.steady()
        return self._counting(entry, now)

    async def read(self, issuer: str, uri: str) -> StatusList:
        if issuer not in self._providers:
            raise StatusListUnavailable("the issuer has no status lists")
        entry = self._entry(issuer, uri)
        while (found := self.look_up(issuer, uri)) is None:
            if self._clock.steady() < entry.rests_until:
                raise StatusListUnavailable("the status list cannot be had")
            if entry.flight is None:
                await self._refresh(issuer, uri, entry)
                found = self._counting(entry, self._clock.steady())
                if found is None:
                    raise StatusListUnavailable("the status list cannot be had")
                return found
            # Not the future itself: whoever gives up waiting must not take it from the others.
            await asyncio.wait((entry.flight,))
        return found

    async def run(self) -> None:
        """Refresh what is in use until cancelled."""
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            await self.refresh_due()

    async def refresh_due(self) -> None:
        """Refresh each list that is in use and will soon count no longer; forget the others."""
        now = self._clock.steady()
        for key, entry in list(self._entries.items()):
            if now - entry.used_at > _LONGEST_UNUSED and entry.flight is None:
                del self._entries[key]
        async with asyncio.TaskGroup() as tasks:
            for (issuer, uri), entry in self._entries.items():
                if entry.found is not None and now >= entry.refresh_at and entry.flight is None:
                    tasks.create_task(self._refresh(issuer, uri, entry))

    def _entry(self, issuer: str, uri: str) -> _Entry:
        entry = self._entries.setdefault((issuer, uri), _Entry())
        entry.used_at = self._clock.steady()
        self._entries.move_to_end((issuer, uri))
        if len(self._entries) > _MAX_LISTS:
            self._entries.popitem(last=False)
        return entry

    def _counting(self, entry: _Entry, now: float) -> StatusList | None:
        found = entry.found
        if found is None or now >= entry.until:
            return None
        # By the wall too: a clock that was put forward must not make an expired list count.
        if found.expires_at is not None and self._clock.now() >= found.expires_at:
            return None
        return found

    async def _refresh(self, issuer: str, uri: str, entry: _Entry) -> None:
        began = self._clock.steady()
        if began < entry.rests_until:
            return
        entry.flight = asyncio.get_running_loop().create_future()
        outcome, why = FetchOutcome.MALFORMED, ""
        try:
            found = await self._fetched(issuer, uri)
            self._install(entry, found, began, self._max_ages[issuer])
            outcome = FetchOutcome.FETCHED
        except FetchFailed as failed:
            outcome, why = failed.outcome, failed.detail
        except Denied as denied:
            unknown = denied.reason is DenyReason.KEYS_UNAVAILABLE
            outcome = FetchOutcome.NO_USABLE_KEY if unknown else FetchOutcome.MALFORMED
            why = denied.detail
        except BadStatusList as problem:
            why = str(problem)
        except asyncio.CancelledError:
            # Whoever asked went away: the next one asks, and nothing has failed.
            self._land(entry)
            raise
        except Exception:
            log.exception("a status list of %s could not be read", issuer)
            why = "see the log"
        self._land(entry)
        self._ended(issuer, entry, outcome, why, began)

    def _land(self, entry: _Entry) -> None:
        if entry.flight is not None:
            entry.flight.set_result(None)
            entry.flight = None

    async def _fetched(self, issuer: str, uri: str) -> StatusList:
        provider = self._providers[issuer]
        document = await self._fetch(uri, provider)
        signer = replace(provider.issuer, token_types=STATUS_LIST_TYPES, type_required=True)
        try:
            text = BearerToken(document.decode("ascii"))
        except UnicodeDecodeError:
            raise BadStatusList("it is no token") from None
        token = await self._verify(read_token(text), signer)
        return read_status_list(token, uri, provider.issuer, self._clock.now())

    def _install(self, entry: _Entry, found: StatusList, began: float, max_age: float) -> None:
        life = max_age if found.ttl is None else min(max_age, found.ttl)
        if found.expires_at is not None:
            life = min(life, found.expires_at - self._clock.now())
        entry.found = found
        entry.refresh_at = began + life * _REFRESHED_AT
        entry.until = began + life

    def _ended(
        self, issuer: str, entry: _Entry, outcome: FetchOutcome, why: str, began: float
    ) -> None:
        now = self._clock.steady()
        self._observer.status_list_fetched(issuer, outcome, now - began)
        if outcome is FetchOutcome.FETCHED:
            self._outages[issuer].over(now)
            return
        entry.rests_until = now + _COOL_DOWN
        self._outages[issuer].failed(why[:200], now)
