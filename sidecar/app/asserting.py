"""Who signs what upstream is told of the caller, where the settings ask for it."""

import secrets
from collections.abc import Callable, Mapping
from typing import Any

from sidecar.adapters.assertion_keys import SHORTEST_SECRET, AssertionKeys
from sidecar.adapters.assertions import AssertionPolicy, Assertions
from sidecar.ports import Clock
from sidecar.settings import Settings

Published = Callable[[], Mapping[str, Any]]
"""Returns the keys that verify assertions, as a set (RFC 7517, 5)."""


def new_secret() -> bytes:
    """Return a secret that is this start's own: all workers get it, and it outlives reloads."""
    return secrets.token_bytes(SHORTEST_SECRET)


def assertion_keys(settings: Settings, secret: bytes, clock: Clock) -> Published | None:
    """Return what gives the keys to publish; None where nothing is signed. Raises as below."""
    assertions = make_assertions(settings, secret, clock)
    return None if assertions is None else assertions.published


def make_assertions(settings: Settings, secret: bytes, clock: Clock) -> Assertions | None:
    """Make the signer; ``secret`` is this start's own, where the settings name none.

    Raises:
        OSError, ValueError: the secret's file is no longer what it was.
    """
    wanted = settings.assertion
    if wanted is None:
        return None
    keys = AssertionKeys(wanted.read_secret() or secret, wanted.algorithm, wanted.rotate_every)
    policy = AssertionPolicy(
        wanted.issuer, wanted.audience, wanted.lifetime, settings.limits.remembered_tokens
    )
    return Assertions(policy, keys, clock)
