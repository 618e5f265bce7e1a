"""The page of health: is the account view live, are the keys fresh, does upstream answer."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from sidecar.adapters.store_revision import Mark
from sidecar.admin.console.backing import Backing, KnownIssuer
from sidecar.admin.console.cuts import MOST_CUTS, Cuts
from sidecar.admin.console.entrance import Visit
from sidecar.admin.console.history import SECONDS, History, age_of, decided
from sidecar.admin.console.live import Live, event
from sidecar.admin.console.pages import Pages
from sidecar.admin.console.plot import Plot, Series, plot
from sidecar.admin.console.text import duration, rate
from sidecar.observability.scraped import Keys, Reading
from sidecar.ports import FetchOutcome, StatusUnavailable


@dataclass(frozen=True, slots=True)
class KeysRow:
    """An issuer's keys. ``age`` is in seconds; ``failed`` are fetches by how they failed."""

    issuer: KnownIssuer
    number: int
    age: float | None
    fetched: float
    failed: Sequence[tuple[str, float]]

    @property
    def state(self) -> str:
        """Return how they are, in a word."""
        if not self.number or self.age is None or self.age > self.issuer.max_stale:
            return "unusable"
        # A fetch takes its time, and begins when they are due.
        return "fresh" if self.age <= 2 * self.issuer.max_age else "stale"


class HealthPage:
    """Shows how the sidecar is."""

    def __init__(
        self,
        backing: Backing,
        pages: Pages,
        live: Live,
        history: History,
        cuts: Cuts,
        *,
        look_seconds: float,
    ) -> None:
        self._backing = backing
        self._pages = pages
        self._live = live
        self._history = history
        self._cuts = cuts
        self._look_seconds = look_seconds

    async def show(self, visit: Visit) -> web.Response:
        """Return the page."""
        return self._pages.page(
            "health", session=visit.session, here="health", **await self._values()
        )

    async def events(self, visit: Visit) -> web.StreamResponse:
        """Keep the page up to date. Raises Refused."""

        async def next_events() -> str:
            await asyncio.sleep(self._look_seconds)
            return event("replace", self._pages.part("health_live", **await self._values()))

        return await self._live.tell(visit, next_events)

    async def _values(self) -> dict[str, Any]:
        reading, now = self._backing.figures.reading(), self._backing.clock.now()
        keys = [_keys_row(each, reading, now) for each in self._backing.facts.issuers]
        statuses = Counter[str]()
        for code, count in reading.requests.items():
            statuses[f"{code[0]}xx" if code.isdigit() else code] += int(count)
        return {
            "now": now,
            "reading": reading,
            "age": age_of(reading, now),
            "mark": await self._mark(),
            "facts": self._backing.facts,
            "keys": keys,
            "problems": _problems(reading, keys),
            "workers": self._backing.figures.workers(),
            "statuses": sorted((code, count) for code, count in statuses.items() if count),
            "granted": decided(reading, "granted"),
            "denied": decided(reading, "denied"),
            "latest": tuple(self._cuts.latest),
            **self._plots(),
        }

    async def _mark(self) -> Mark | None:
        if self._backing.mark is None:
            return None
        try:
            return await self._backing.mark()
        except StatusUnavailable:
            return None

    def _plots(self) -> dict[str, Plot]:
        samples = tuple(self._history.samples)
        moments = [each.at for each in samples]
        ages = Series("age of the account view", [each.age for each in samples])
        granted = Series("granted", [each.granted for each in samples])
        denied = Series("denied", [each.denied for each in samples])
        cuts = [each for each in reversed(self._cuts.latest) if each.seconds is not None]
        return {
            "ages": plot(
                moments, [ages], duration, places=SECONDS, bound=self._backing.facts.max_staleness
            ),
            "rates": plot(moments, [granted, denied], rate, places=SECONDS),
            "measured": plot(
                [each.at for each in cuts],
                [Series("last stream ended", [each.seconds for each in cuts])],
                duration,
                places=MOST_CUTS,
            ),
        }


def _keys_row(issuer: KnownIssuer, reading: Reading, now: float) -> KeysRow:
    keys = reading.keys.get(issuer.name, Keys())
    outcomes = {
        outcome: count for (name, outcome), count in reading.fetches.items() if name == issuer.name
    }
    return KeysRow(
        issuer,
        keys.number,
        max(0.0, now - keys.loaded_at) if keys.loaded_at else None,
        outcomes.get(FetchOutcome.FETCHED.value, 0.0),
        sorted(
            (outcome, count)
            for outcome, count in outcomes.items()
            if count and outcome != FetchOutcome.FETCHED
        ),
    )


def _problems(reading: Reading, keys: Sequence[KeysRow]) -> list[str]:
    found = []
    if reading.shadow_routes:
        passed = sum(reading.shadow_denials.values())
        found.append(
            f"Nothing is enforced on {reading.shadow_routes} routes, which are in shadow:"
            f" {passed:.0f} requests passed that would have been denied."
        )
    if not reading.is_live:
        found.append("The account view is not live: whoever needs an account is refused with 503.")
    found += [
        f"The keys of {row.issuer.name} cannot be used: its tokens are refused with 503."
        for row in keys
        if row.state == "unusable"
    ]
    return found
