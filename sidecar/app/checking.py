"""What can only be found wrong with the settings by making parts of them."""

from collections.abc import Callable
from functools import partial

from sidecar.app.introspecting import introspection_files
from sidecar.app.libraries import library_problems
from sidecar.app.parts import (
    admin_context,
    listen_policy,
    provider_contexts,
    redis_options,
    upstream_policy,
)
from sidecar.app.receiving import event_problems
from sidecar.app.tls import client_context, server_context, system_authorities
from sidecar.settings import Problem, Settings
from sidecar.settings.fields import ServerTls
from sidecar.settings.grpc import GrpcUpstream
from sidecar.settings.tracing import Tracing


def problems_of(settings: Settings) -> list[Problem]:
    """Return what keeps a sidecar with these settings from starting, all at once."""
    problems = library_problems(settings)
    parts: dict[str, Callable[[], object]] = {"listen.tls": partial(listen_policy, settings.listen)}
    if settings.upstream is not None:
        parts["upstream.tls"] = partial(upstream_policy, settings.upstream)
    if settings.forward_auth is not None:
        parts["forward_auth.tls"] = partial(listen_policy, settings.forward_auth)
    parts["admin.tls"] = partial(admin_context, settings)
    # gRPC says no more of a bad file than that the port cannot be opened, or no call gets through.
    if settings.grpc is not None:
        parts["grpc.tls"] = partial(_server_context, settings.grpc.tls)
        parts["grpc.upstream.tls"] = partial(_grpc_client_context, settings.grpc.upstream)
    if settings.ext_authz is not None:
        parts["ext_authz.tls"] = partial(_server_context, settings.ext_authz.tls)
    parts["issuers"] = partial(provider_contexts, settings)
    parts["issuers.introspection"] = partial(introspection_files, settings)
    parts["events"] = partial(event_problems, settings)
    parts["accounts"] = partial(redis_options, settings)
    if settings.tracing is not None:
        parts["tracing"] = partial(_collector, settings.tracing)
    for place, make in parts.items():
        try:
            make()
        except (OSError, ValueError) as error:
            problems.append(Problem(place, str(error)))
    return problems


def _grpc_client_context(upstream: GrpcUpstream) -> None:
    if not upstream.is_encrypted:
        return
    tls = upstream.tls
    if tls is None or tls.ca is None:
        system_authorities()
    if tls is not None:
        client_context(tls.ca, tls.certificate, tls.key)


def _collector(tracing: Tracing) -> None:
    tracing.read_headers()
    if tracing.ca is not None:
        client_context(tracing.ca)


def _server_context(tls: ServerTls | None) -> None:
    if tls is not None:
        server_context(tls.certificate, tls.key, tls.client_ca)
