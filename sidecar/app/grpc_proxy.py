"""The gRPC proxy, made from settings. Needs the extra ``grpc``."""

from contextlib import AsyncExitStack
from functools import partial

from sidecar.app.doors import Opening, Sockets
from sidecar.app.fronts import Shared
from sidecar.app.protecting import realm_of
from sidecar.app.proving import shown_rules
from sidecar.app.tls import system_authorities
from sidecar.fronts.forwarded import TrustedProxies
from sidecar.fronts.grpc_listener import Address, Certificate
from sidecar.fronts.grpc_proxy.handler import Handler, Parts
from sidecar.fronts.grpc_proxy.metadata import MetadataRules
from sidecar.fronts.grpc_proxy.server import ListenPolicy, listening
from sidecar.fronts.grpc_proxy.upstream import Authorities, Upstream, UpstreamPolicy
from sidecar.settings import Settings
from sidecar.settings.grpc import Grpc


async def grpc_proxy_opening(
    settings: Settings, section: Grpc, shared: Shared, sockets: Sockets, stack: AsyncExitStack
) -> Opening:
    """Return what opens the front; its channel to upstream lasts as long as ``stack``.

    Raises:
        OSError, ValueError: a file of ``grpc.tls`` or ``grpc.upstream.tls`` cannot be used.
    """
    upstream = await stack.enter_async_context(Upstream(_upstream_policy(section)))
    handler = Handler(
        Parts(
            authorizer=shared.authorizer,
            streams=shared.streams,
            upstream=upstream,
            rules=MetadataRules(
                shared.identity,
                TrustedProxies(settings.trusted_networks()),
                settings.forward_authorization,
                shown_rules(settings),
                traces=shared.tracer is not None,
            ),
            clock=shared.clock,
            observer=shared.observer,
            scheme="http" if section.tls is None else "https",
            realm=realm_of(settings),
            tracer=shared.tracer,
        )
    )
    policy = ListenPolicy(
        Address(section.host, section.port, _certificate(section), sockets.get("grpc")),
        max_message_octets=section.max_message_bytes,
        max_calls=section.max_calls,
        keepalive=section.keepalive,
    )
    return partial(listening, handler, policy)


def _certificate(section: Grpc) -> Certificate | None:
    tls = section.tls
    if tls is None:
        return None
    authorities = None if tls.client_ca is None else tls.client_ca.read_bytes()
    return Certificate(tls.key.read_bytes(), tls.certificate.read_bytes(), authorities)


def _upstream_policy(section: Grpc) -> UpstreamPolicy:
    upstream = section.upstream
    return UpstreamPolicy(
        upstream.target,
        _authorities(section) if upstream.is_encrypted else None,
        max_message_octets=section.max_message_bytes,
        connect_timeout=upstream.connect_timeout,
        keepalive=upstream.keepalive,
    )


def _authorities(section: Grpc) -> Authorities:
    tls = section.upstream.tls
    if tls is None:
        return Authorities(system_authorities())
    certificate = None if tls.certificate is None else tls.certificate.read_bytes()
    return Authorities(
        system_authorities() if tls.ca is None else tls.ca.read_bytes(),
        certificate,
        certificate if tls.key is None else tls.key.read_bytes(),
        tls.server_name,
    )
