"""What can only be found wrong with the settings by making parts of them."""

from collections.abc import Callable
from functools import partial

from sidecar.app.libraries import library_problems
from sidecar.app.parts import listen_policy, provider_contexts, redis_options, upstream_policy
from sidecar.app.tls import client_context, server_context, system_authorities
from sidecar.settings import Problem, Settings


def problems_of(settings: Settings) -> list[Problem]:
    """Return what keeps a sidecar with these settings from starting, all at once."""
    problems = library_problems(settings)
    parts: dict[str, Callable[[], object]] = {"listen.tls": partial(listen_policy, settings.listen)}
    if settings.upstream is not None:
        parts["upstream.tls"] = partial(upstream_policy, settings.upstream)
    if settings.forward_auth is not None:
        parts["forward_auth.tls"] = partial(listen_policy, settings.forward_auth)
    parts["grpc.tls"] = partial(_grpc_server_context, settings)
    parts["grpc.upstream.tls"] = partial(_grpc_client_context, settings)
    parts["issuers"] = partial(provider_contexts, settings)
    parts["accounts"] = partial(redis_options, settings)
    for place, make in parts.items():
        try:
            make()
        except (OSError, ValueError) as error:
            problems.append(Problem(place, str(error)))
    return problems


# gRPC says no more of a bad file than that the port cannot be opened, or that no call gets through.
def _grpc_server_context(settings: Settings) -> None:
    tls = None if settings.grpc is None else settings.grpc.tls
    if tls is not None:
        server_context(tls.certificate, tls.key, tls.client_ca)


def _grpc_client_context(settings: Settings) -> None:
    upstream = None if settings.grpc is None else settings.grpc.upstream
    if upstream is None or not upstream.is_encrypted:
        return
    tls = upstream.tls
    if tls is None or tls.ca is None:
        system_authorities()
    if tls is not None:
        client_context(tls.ca, tls.certificate, tls.key)
