"""The fronts of a sidecar, over what they share: one for each of its doors."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial

from sidecar.account_mirror import AccountMirror
from sidecar.app.descriptors import connections_within
from sidecar.app.doors import Opening, Sockets
from sidecar.app.parts import listen_policy, upstream_policy
from sidecar.app.protecting import realm_of, resource_metadata
from sidecar.app.proving import shown_rules
from sidecar.authorize import Authorizer
from sidecar.core.identity_headers import IdentityHeaders
from sidecar.core.trace import Tracer
from sidecar.fronts.admission import Room
from sidecar.fronts.forward_auth import handler as forward_auth
from sidecar.fronts.forward_auth import server as forward_auth_server
from sidecar.fronts.forwarded import TrustedProxies
from sidecar.fronts.request_head import HeadRules
from sidecar.fronts.reverse_proxy import handler as reverse_proxy
from sidecar.fronts.reverse_proxy import server as reverse_proxy_server
from sidecar.fronts.reverse_proxy.pace import BodyRate
from sidecar.fronts.reverse_proxy.upstream import Upstream
from sidecar.fronts.reverse_proxy.upstream.health import HealthObserver
from sidecar.ports import Clock, Observer
from sidecar.settings import Settings
from sidecar.settings.forward_auth import ForwardAuth
from sidecar.settings.networks import Network
from sidecar.settings.sections import Listen
from sidecar.settings.sections import Upstream as UpstreamSettings
from sidecar.streams import Streams


@dataclass(frozen=True, slots=True)
class Shared:
    """What every front works with; ``probes`` are what has to hold for requests to be granted."""

    authorizer: Authorizer
    identity: IdentityHeaders
    streams: Streams
    clock: Clock
    observer: Observer
    probes: Callable[[], Mapping[str, bool]]
    mirror: AccountMirror | None = None
    health: HealthObserver | None = None
    tracer: Tracer | None = None


@asynccontextmanager
async def fronts_of(
    settings: Settings, shared: Shared, sockets: Sockets
) -> AsyncIterator[list[Opening]]:
    """Make what opens each front, the main one first; what they need lasts as long as the block.

    ``sockets`` are the doors' that are bound already; the others are bound when they are opened.
    """
    openings: list[Opening] = []
    async with AsyncExitStack() as stack:
        if settings.upstream is not None:
            policy = upstream_policy(settings.upstream)
            upstream = await stack.enter_async_context(Upstream(policy, shared.health))
            openings.append(_reverse_proxy(settings, shared, sockets, upstream, settings.upstream))
        if settings.forward_auth is not None:
            openings.append(_forward_auth(settings, settings.forward_auth, shared, sockets))
        if settings.grpc is not None:
            from sidecar.app.grpc_proxy import grpc_proxy_opening  # noqa: PLC0415 - an extra

            openings.append(
                await grpc_proxy_opening(settings, settings.grpc, shared, sockets, stack)
            )
        if settings.ext_authz is not None:
            from sidecar.app.ext_authz import ext_authz_opening  # noqa: PLC0415 - an extra

            openings.append(ext_authz_opening(settings, settings.ext_authz, shared, sockets))
        yield openings


def _reverse_proxy(
    settings: Settings,
    shared: Shared,
    sockets: Sockets,
    upstream: Upstream,
    section: UpstreamSettings,
) -> Opening:
    handler = reverse_proxy.Handler(
        reverse_proxy.Parts(
            authorizer=shared.authorizer,
            streams=shared.streams,
            upstream=upstream,
            head_rules=_head_rules(settings, shared, settings.trusted_networks()),
            clock=shared.clock,
            observer=shared.observer,
            idle_seconds=section.idle_timeout,
            mirror=shared.mirror,
            body_rate=BodyRate(settings.listen.min_body_rate, settings.listen.body_grace),
            read_rate=_read_rate(settings.listen),
            realm=realm_of(settings),
            metadata=resource_metadata(settings),
            tracer=shared.tracer,
        )
    )
    policy = listen_policy(settings.listen, _room(settings, section), sockets.get("listen"))
    return partial(reverse_proxy_server.listening, handler, policy)


def _read_rate(listen: Listen) -> BodyRate:
    # However little it is that has to be taken, nothing is too little.
    least = 1 / listen.write_timeout
    return BodyRate(max(listen.min_read_rate, least), listen.write_timeout)


def _room(settings: Settings, upstream: UpstreamSettings) -> Room:
    listen = settings.listen
    return Room(
        connections_within(listen.max_connections, upstream.max_connections),
        listen.max_connections_per_peer,
        TrustedProxies(settings.trusted_networks()),
    )


def _forward_auth(
    settings: Settings, section: ForwardAuth, shared: Shared, sockets: Sockets
) -> Opening:
    handler = forward_auth.Handler(
        forward_auth.Parts(
            authorizer=shared.authorizer,
            head_rules=_head_rules(settings, shared, section.trusted_proxies),
            dialect=section.dialect,
            prefix=section.path,
            clock=shared.clock,
            observer=shared.observer,
            realm=realm_of(settings),
            metadata=resource_metadata(settings),
            tracer=shared.tracer,
        )
    )
    room = Room(connections_within(section.max_connections))
    policy = listen_policy(section, room, sockets.get("forward_auth"))
    return partial(forward_auth_server.listening, handler, policy)


def _head_rules(settings: Settings, shared: Shared, trusted: tuple[Network, ...]) -> HeadRules:
    return HeadRules(
        shared.identity,
        TrustedProxies(trusted),
        settings.forward_authorization,
        shown_rules(settings),
        traces=shared.tracer is not None,
    )
