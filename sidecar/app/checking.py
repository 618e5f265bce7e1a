"""What can only be found wrong with the settings by making parts of them."""

from collections.abc import Callable
from functools import partial

from sidecar.app.libraries import library_problems
from sidecar.app.parts import listen_policy, provider_contexts, redis_options, upstream_policy
from sidecar.settings import Problem, Settings


def problems_of(settings: Settings) -> list[Problem]:
    """Return what keeps a sidecar with these settings from starting, all at once."""
    problems = library_problems(settings)
    parts: dict[str, Callable[[], object]] = {
        "listen.tls": partial(listen_policy, settings),
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
