"""The fronts of a sidecar, over what they share: one for each of its doors."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial

from sidecar.app.doors import Opening, Sockets
from sidecar.app.parts import listen_policy, upstream_policy
from sidecar.authorize import Authorizer
from sidecar.fronts.reverse_proxy.forwarded import TrustedProxies
from sidecar.fronts.reverse_proxy.handler import Handler, Parts
from sidecar.fronts.reverse_proxy.request_head import HeadRules
from sidecar.fronts.reverse_proxy.server import listening
from sidecar.fronts.reverse_proxy.upstream import Upstream
from sidecar.ports import Clock, Observer
from sidecar.settings import Settings
from sidecar.streams import Streams


@dataclass(frozen=True, slots=True)
class Shared:
    """What every front works with; ``probes`` are what has to hold for requests to be granted."""

    authorizer: Authorizer
    streams: Streams
    clock: Clock
    observer: Observer
    probes: Callable[[], Mapping[str, bool]]


@asynccontextmanager
async def fronts_of(
    settings: Settings, shared: Shared, sockets: Sockets
) -> AsyncIterator[list[Opening]]:
    """Make what opens each front, the main one first; what they need lasts as long as the block.

    ``sockets`` are the doors' that are bound already; the others are bound when they are opened.
    """
    async with AsyncExitStack() as stack:
        openings = [await _reverse_proxy(settings, shared, sockets, stack)]
        if settings.grpc is not None:
            from sidecar.app.grpc_proxy import grpc_proxy_opening  # noqa: PLC0415 - an extra

            openings.append(
                await grpc_proxy_opening(settings, settings.grpc, shared, sockets, stack)
            )
        yield openings


async def _reverse_proxy(
    settings: Settings, shared: Shared, sockets: Sockets, stack: AsyncExitStack
) -> Opening:
    upstream = await stack.enter_async_context(Upstream(upstream_policy(settings)))
    handler = Handler(
        Parts(
            authorizer=shared.authorizer,
            streams=shared.streams,
            upstream=upstream,
            head_rules=HeadRules(
                settings.identity(),
                TrustedProxies(settings.trusted_networks()),
                settings.forward_authorization,
            ),
            clock=shared.clock,
            observer=shared.observer,
            idle_seconds=settings.upstream.idle_timeout,
        )
    )
    return partial(listening, handler, listen_policy(settings, sockets.get("listen")))
