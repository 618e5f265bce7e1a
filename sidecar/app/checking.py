"""What can only be found wrong with the settings by making parts of them."""

from collections.abc import Callable
from functools import partial

from sidecar.app.libraries import library_problems
from sidecar.app.parts import listen_policy, provider_contexts, redis_options, upstream_policy
from sidecar.app.tls import server_context
from sidecar.settings import Problem, Settings


def problems_of(settings: Settings) -> list[Problem]:
    """Return what keeps a sidecar with these settings from starting, all at once."""
    problems = library_problems(settings)
    parts: dict[str, Callable[[], object]] = {
        "listen.tls": partial(listen_policy, settings),
        "ext_authz.tls": partial(_ext_authz_context, settings),
        "upstream.tls": partial(upstream_policy, settings),
        "issuers": partial(provider_contexts, settings),
        "accounts": partial(redis_options, settings),
    }
    for place, make in parts.items():
        try:
            make()
        except (OSError, ValueError) as error:
            problems.append(Problem(place, str(error)))
    return problems


def _ext_authz_context(settings: Settings) -> None:
    # gRPC says no more of a bad file than that the port cannot be opened.
    tls = None if settings.ext_authz is None else settings.ext_authz.tls
    if tls is not None:
        server_context(tls.certificate, tls.key, tls.client_ca)
