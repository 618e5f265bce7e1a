"""What holds callers to their limits, and all of them together to what can be done."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sidecar.adapters.account_keys import AccountKeys
from sidecar.adapters.redis_budgets import BudgetExchange, RedisBudgets
from sidecar.adapters.redis_client import open_redis
from sidecar.admission import Budgets, Limiter, LimitRules
from sidecar.app.observing import Observing
from sidecar.app.parts import redis_options
from sidecar.app.running import running
from sidecar.ports import Clock
from sidecar.rules import Admission
from sidecar.settings import Settings
from sidecar.shedding import Shedder
from sidecar.streams import Streams
from sidecar.turns import Bounds, Turns

_STORE_SECONDS = 1.0


@asynccontextmanager
async def admitting(
    settings: Settings,
    observed: Observing,
    streams: Streams,
    clock: Clock,
    budgets: Budgets | None = None,
) -> AsyncIterator[Admission]:
    """Give what a request has to get past beside the rules, and keep it going.

    ``budgets`` are the process's: what callers have left outlives a reload that does not change it.
    """
    limits = settings.limits
    shedder = Shedder(streams, limits.max_in_flight, limits.max_lag, limits.max_lag_for)
    turns = Turns(
        clock, asyncio.get_running_loop().call_soon, Bounds(patience=limits.decision_budget)
    )
    limiter = make_limiter(settings, budgets)
    with observed.loop_watch.heard(shedder.heard):
        async with _sharing(settings, limiter, clock):
            yield Admission(shedder, limiter, turns)


def make_limiter(settings: Settings, budgets: Budgets | None = None) -> Limiter | None:
    """Return what holds callers to their limits; None where nobody is held to any."""
    of_routes, section = settings.route_limits(), settings.rate_limit
    if section is None:
        return Limiter(LimitRules(routes=of_routes), budgets) if of_routes else None
    return Limiter(section.rules(of_routes, settings.worker_count()), budgets)


@asynccontextmanager
async def _sharing(
    settings: Settings, limiter: Limiter | None, clock: Clock
) -> AsyncIterator[None]:
    section, accounts = settings.rate_limit, settings.accounts
    if section is None or limiter is None or not section.is_shared:
        yield
        return
    options = redis_options(settings)
    async with open_redis(accounts.url, options, accounts.prefix, _STORE_SECONDS) as client:
        store = RedisBudgets(client, AccountKeys(accounts.prefix))
        exchange = BudgetExchange(limiter.budgets, store, clock, section.exchange_every)
        async with running(exchange.run):
            yield
