"""The sidecar in one process: its parts joined and running."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial

from sidecar.adapters.clock import SystemClock
from sidecar.adapters.key_source import JwksKeySource
from sidecar.admin.listener import AdminListener
from sidecar.app.observing import Observing, observing
from sidecar.app.parts import (
    Accounts,
    listen_policy,
    make_accounts,
    make_authorizer,
    open_keys,
    upstream_policy,
)
from sidecar.app.revoking import revoking
from sidecar.fronts.reverse_proxy.forwarded import TrustedProxies
from sidecar.fronts.reverse_proxy.handler import Handler, Parts
from sidecar.fronts.reverse_proxy.request_head import HeadRules
from sidecar.fronts.reverse_proxy.server import ReverseProxy, listening
from sidecar.fronts.reverse_proxy.upstream import Upstream
from sidecar.observability.workers import this_worker
from sidecar.ports import Clock
from sidecar.settings import Settings
from sidecar.streams import StreamGuard, Streams

_REPORT_SECONDS = 0.5
_POLL_SECONDS = 0.01

Job = Callable[[], Awaitable[None]]


@dataclass
class Serving:
    """A running sidecar. ``admin_url`` is empty where another process answers for it."""

    url: str
    admin_url: str
    _proxy: ReverseProxy
    _keys: JwksKeySource
    _accounts: Accounts
    _is_leaving: bool = False

    def probes(self) -> Mapping[str, bool]:
        """Return what has to hold for requests to be granted, by name."""
        return {
            "keys": self._keys.is_ready(),
            "accounts": self._accounts.view.is_live(),
            "staying": not self._is_leaving,
        }

    async def ready(self) -> None:
        """Wait until keys are loaded and the account view is live."""
        while not all(self.probes().values()):  # noqa: ASYNC110 - it comes from several sides
            await asyncio.sleep(_POLL_SECONDS)

    def dismiss(self) -> None:
        """Be unready from now on, and tell clients to come back on other connections."""
        self._is_leaving = True
        self._proxy.dismiss()

    async def drain(self, seconds: float) -> None:
        """Accept nothing more; requests in flight may take ``seconds`` to end."""
        await self._proxy.drain(seconds)


@asynccontextmanager
async def serving(settings: Settings, *, with_admin: bool = True) -> AsyncIterator[Serving]:
    """Serve until the block ends. Keys and accounts may still be on their way: see ``ready``.

    Raises:
        OSError: an address cannot be listened on.
    """
    clock = SystemClock()
    async with AsyncExitStack() as stack:
        observed = stack.enter_context(observing(settings, clock))
        accounts = make_accounts(settings, clock, observed.observer)
        keys = await stack.enter_async_context(open_keys(settings, clock, observed.observer))
        streams = Streams(observed.observer)
        upstream = await stack.enter_async_context(Upstream(upstream_policy(settings)))
        handler = _handler(settings, keys, accounts, streams, upstream, clock, observed)
        leeways = {issuer.issuer: issuer.leeway for issuer in settings.issuers}
        guard = StreamGuard(
            streams, accounts.view, clock, leeways, on_expiry=settings.streams.expired
        )
        report = partial(_report, accounts, clock, observed)
        proxy = await stack.enter_async_context(listening(handler, listen_policy(settings)))
        served = Serving(proxy.url, "", proxy, keys, accounts)
        if with_admin:
            revoke = await stack.enter_async_context(
                revoking(settings, keys, accounts.view, clock, observed.observer)
            )
            admin = AdminListener(
                settings.admin.host,
                settings.admin.port,
                probes=served.probes,
                render=observed.metrics.render,
                workers=partial(this_worker, observed.metrics),
                revoke=revoke,
            )
            await stack.enter_async_context(admin)
            served.admin_url = admin.url
        # Last, so that an address that is taken is told as what it is, and not as a group of one.
        await stack.enter_async_context(
            running(keys.run, accounts.run, accounts.remember, guard.run, report)
        )
        yield served


@asynccontextmanager
async def running(*jobs: Job) -> AsyncIterator[None]:
    """Run these for as long as the block; whichever fails ends the block with its exception."""

    async def run(job: Job) -> None:
        await job()

    async with asyncio.TaskGroup() as tasks:
        started = [tasks.create_task(run(job)) for job in jobs]
        try:
            yield
        finally:
            for task in started:
                task.cancel()


def _handler(
    settings: Settings,
    keys: JwksKeySource,
    accounts: Accounts,
    streams: Streams,
    upstream: Upstream,
    clock: Clock,
    observed: Observing,
) -> Handler:
    return Handler(
        Parts(
            authorizer=make_authorizer(settings, keys, accounts.view, clock, observed.observer),
            streams=streams,
            upstream=upstream,
            head_rules=HeadRules(
                settings.identity(),
                TrustedProxies(settings.trusted_networks()),
                settings.forward_authorization,
            ),
            clock=clock,
            observer=observed.observer,
            idle_seconds=settings.upstream.idle_timeout,
        )
    )


async def _report(accounts: Accounts, clock: Clock, observed: Observing) -> None:
    while True:
        proven_at = accounts.proven_at()
        ago = None if proven_at is None else clock.steady() - proven_at
        observed.metrics.view_state(
            live=accounts.view.is_live(), proven_at=None if ago is None else clock.now() - ago
        )
        observed.metrics.flush()
        await asyncio.sleep(_REPORT_SECONDS)
