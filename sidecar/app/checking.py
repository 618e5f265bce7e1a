"""What can only be found wrong with the settings by making parts of them."""

from collections.abc import Callable
from functools import partial

from sidecar.app.libraries import library_problems
from sidecar.app.parts import (
    admin_context,
    listen_policy,
    provider_contexts,
    redis_options,
    upstream_policy,
)
from sidecar.settings import Problem, Settings


def problems_of(settings: Settings) -> list[Problem]:
    """Return what keeps a sidecar with these settings from starting, all at once."""
    problems = library_problems(settings)
    parts: dict[str, Callable[[], object]] = {"listen.tls": partial(listen_policy, settings.listen)}
    if settings.upstream is not None:
        parts["upstream.tls"] = partial(upstream_policy, settings.upstream)
    if settings.forward_auth is not None:
        parts["forward_auth.tls"] = partial(listen_policy, settings.forward_auth)
    parts["admin.tls"] = partial(admin_context, settings)
    parts["issuers"] = partial(provider_contexts, settings)
    parts["accounts"] = partial(redis_options, settings)
    for place, make in parts.items():
        try:
            make()
        except (OSError, ValueError) as error:
            problems.append(Problem(place, str(error)))
    return problems
