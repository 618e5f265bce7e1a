"""One provider's keys: what is in force, how old it is, and when it may be asked again.

Pure bookkeeping on times that are passed in (steady seconds), so every rule can be tested without
a network or a clock.
"""

import asyncio
from collections import OrderedDict
from dataclasses import dataclass

from sidecar.adapters.jwks import KeySet
from sidecar.core.issuer import Issuer
from sidecar.core.token import VerificationKeys

# Strangers choose `kid`: what is remembered of them is bounded.
MAX_NAMED_KIDS = 128


@dataclass(frozen=True, slots=True)
class Provider:
    """An issuer and where its keys are; without ``jwks_url`` they are found by discovery.

    ``metadata_urls`` are looked at first for that.
    """

    issuer: Issuer
    jwks_url: str | None = None
    insecure_http: bool = False
    metadata_urls: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class KeyPolicy:
    """Bounds of keys; times in seconds.

    Keys are fetched anew after ``max_age``, serve up to ``max_stale`` while that fails, and a
    fetch that somebody's unknown key causes comes ``cool_down`` after the last such one, or after
    a failed one, at the earliest. A fetch by the clock cools nothing: the provider may rotate right
    after it, and the first new token must not wait.
    """

    max_age: float = 300.0
    max_stale: float = 3600.0
    cool_down: float = 30.0
    max_keys: int = 64


class ProviderKeys:
    """The state of one provider."""

    def __init__(self, provider: Provider, policy: KeyPolicy) -> None:
        self.provider = provider
        self.issuer = provider.issuer.name
        self.wanted = asyncio.Event()
        self.failures = 0
        self._policy = policy
        self._keys: VerificationKeys | None = None
        self._fingerprint: object = None
        self._fresh_at = 0.0
        self._asked_at = float("-inf")  # when the last fetch that succeeded had begun
        self._cool_until = float("-inf")
        self._named: OrderedDict[str | None, float] = OrderedDict()
        self._flight: asyncio.Future[None] | None = None
        self._is_asked_for = False

    def usable(self, now: float) -> VerificationKeys | None:
        """Return the keys in force, unless they are older than ``max_stale``."""
        if self._keys is None or now - self._fresh_at > self._policy.max_stale:
            return None
        return self._keys

    def install(self, found: KeySet, generation: int, fresh_at: float) -> bool:
        """Put a key set in force; say whether it differs from the one before.

        A set that is the same keeps its generation, and with it every remembered token.
        """
        changed = found.fingerprint != self._fingerprint
        if changed:
            self._fingerprint = found.fingerprint
            self._keys = VerificationKeys(found.by_kid, generation)
        self._fresh_at = fresh_at
        return changed

    def name(self, kid: str | None, now: float) -> None:
        """Remember since when a key has been asked for."""
        if kid not in self._named:
            self._named[kid] = now
            if len(self._named) > MAX_NAMED_KIDS:
                self._named.popitem(last=False)

    def is_unsettled(self, kid: str | None) -> bool:
        """Say whether the provider has not been asked since this key was first named."""
        named_at = self._named.get(kid)
        return named_at is None or self._asked_at < named_at

    def is_resting(self, now: float) -> bool:
        """Say whether a cool-down keeps the provider from being asked, and nobody is asking it."""
        return self._flight is None and now < self._cool_until

    def join(self, now: float) -> "asyncio.Future[None] | None":
        """Return the fetch under way, or one that is asked for now; None while cooling down."""
        if self.is_resting(now):
            return None
        if self._flight is None:
            self._flight = asyncio.get_running_loop().create_future()
            self._is_asked_for = True
            self.wanted.set()
        return self._flight

    def begin(self) -> None:
        """Have those who ask from now on share the fetch that begins."""
        self.wanted.clear()
        if self._flight is None:
            self._flight = asyncio.get_running_loop().create_future()

    def end(self, began: float, now: float, *, succeeded: bool) -> None:
        """Take the end of a fetch; a failed one starts the cool-down as well."""
        if succeeded:
            self._asked_at = began
            self.failures = 0
        else:
            self.failures += 1
        if self._is_asked_for or not succeeded:
            self._cool_until = now + self._policy.cool_down
        self._is_asked_for = False
        flight, self._flight = self._flight, None
        if flight is not None and not flight.done():
            flight.set_result(None)
