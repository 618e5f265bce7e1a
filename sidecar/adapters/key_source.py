"""The issuers' keys: fetched at start, refreshed behind the requests, never replaced by a failure.

Each provider has one loop that fetches, so a fetch is never doubled; whoever lacks a key asks that
loop and waits for the same fetch as all others. A flood of unknown keys causes at most one fetch
per cool-down (PyJWT's CVE-2026-48524 was one per token), and meanwhile "unknown" is not a verdict:
the provider may have rotated (``is_unsettled``).
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Iterable

from aiocache import SimpleMemoryCache

from sidecar.adapters.bounded_fetch import FetchFailed
from sidecar.adapters.discovery import discover, read_jwks_uri
from sidecar.adapters.jwks import KeySet, NoUsableKeys, read_key_set
from sidecar.adapters.key_snapshot import KeySnapshot
from sidecar.adapters.provider_keys import KeyPolicy, Provider, ProviderKeys
from sidecar.core.token import VerificationKeys
from sidecar.ports import Clock, FetchOutcome, Observer

__all__ = ["JwksKeySource", "KeyPolicy", "Provider"]

log = logging.getLogger(__name__)

# While there is no usable key nothing can be granted, so the provider is asked soon again; while
# older keys serve, there is time.
_RETRY_WITHOUT_KEYS = (1.0, 2.0)
_RETRY_WITH_KEYS = (1.0, 30.0)
_JITTER = 0.1

# Seconds after which a provider is asked again where its keys are, though the old place answers.
_ADDRESS_TTL = 3600.0

Fetch = Callable[[str, Provider], Awaitable[bytes]]


class JwksKeySource:
    """Implements ``ports.KeySource``. ``run`` keeps the keys fresh."""

    def __init__(
        self,
        providers: Iterable[Provider],
        policy: KeyPolicy,
        fetch: Fetch,
        clock: Clock,
        observer: Observer,
        snapshot: KeySnapshot | None = None,
    ) -> None:
        self._providers = {each.issuer.name: ProviderKeys(each, policy) for each in providers}
        self._policy = policy
        self._fetch = fetch
        self._clock = clock
        self._observer = observer
        self._snapshot = snapshot
        self._generation = 0
        self._loaded: dict[str, tuple[int, float]] = {}  # by issuer: how many, and when
        # By issuer: where its keys are, and its last key document with what was read in it.
        self._addresses = SimpleMemoryCache(namespace="jwks_uri", timeout=0)
        self._documents = SimpleMemoryCache(namespace="jwks", timeout=0)

    def keys(self, issuer: str) -> VerificationKeys | None:
        keys = self._providers.get(issuer)
        return None if keys is None else keys.usable(self._clock.steady())

    def is_ready(self) -> bool:
        """Say whether any issuer has usable keys.

        Not every one: a provider that is down must not take the others' programs off every replica.
        Its own get 503, and the metrics say whose they are.
        """
        if not self._providers:
            return True  # every issuer's tokens are opaque
        now = self._clock.steady()
        return any(keys.usable(now) is not None for keys in self._providers.values())

    async def refresh(self, issuer: str, kid: str | None) -> None:
        keys = self._providers.get(issuer)
        if keys is None:
            return
        now = self._clock.steady()
        keys.name(kid, now)
        flight = keys.join(now)
        if flight is not None:
            # Shielded: whoever gives up waiting must not take the fetch from the others.
            await asyncio.shield(flight)

    def is_resting(self, issuer: str, kid: str | None) -> bool:
        keys = self._providers.get(issuer)
        if keys is None:
            return True
        now = self._clock.steady()
        keys.name(kid, now)
        return keys.is_resting(now)

    def is_unsettled(self, issuer: str, kid: str | None) -> bool:
        keys = self._providers.get(issuer)
        return keys is not None and keys.is_unsettled(kid)

    async def run(self) -> None:
        """Fetch and refresh every provider's keys until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for keys in self._providers.values():
                tasks.create_task(self._keep(keys))

    async def _keep(self, keys: ProviderKeys) -> None:
        await self._restore(keys)
        while True:
            await self._fetch_once(keys)
            try:
                async with asyncio.timeout(self._pause(keys)):
                    await keys.wanted.wait()
            except TimeoutError:
                pass

    async def _fetch_once(self, keys: ProviderKeys) -> None:
        began = self._clock.steady()
        keys.begin()
        outcome, document = FetchOutcome.MALFORMED, b""
        try:
            document = await self._document(keys.provider)
            found = await self._read(keys.provider, document)
            self._install(keys, found, self._clock.steady(), self._clock.now())
            outcome = FetchOutcome.FETCHED
        except FetchFailed as failed:
            outcome = failed.outcome
            await self._warn(keys, failed.detail)
        except NoUsableKeys as problem:
            outcome = FetchOutcome.NO_USABLE_KEY
            await self._warn(keys, str(problem))
        except Exception:
            log.exception("the keys of %s could not be fetched", keys.issuer)
        finally:
            now = self._clock.steady()
            keys.end(began, now, succeeded=outcome is FetchOutcome.FETCHED)
            self._observer.keys_fetched(keys.issuer, outcome, now - began)
            if outcome is not FetchOutcome.FETCHED:
                self._tell_again(keys, now)
        if outcome is FetchOutcome.FETCHED and self._snapshot is not None:
            # Last of all: whoever waits for the keys does not wait for the disk.
            await self._snapshot.save(keys.issuer, document, self._clock.now())

    async def _document(self, provider: Provider) -> bytes:
        address = provider.jwks_url or await self._addresses.get(provider.issuer.name)
        if address is None:
            address = await self._discover(provider)
            await self._addresses.set(provider.issuer.name, address, ttl=_ADDRESS_TTL)
        return await self._fetch(address, provider)

    async def _read(self, provider: Provider, document: bytes) -> KeySet:
        known: tuple[bytes, KeySet] | None = await self._documents.get(provider.issuer.name)
        if known is not None and known[0] == document:
            return known[1]
        found = read_key_set(document, provider.issuer, self._policy.max_keys)
        await self._documents.set(provider.issuer.name, (document, found))
        return found

    async def _discover(self, provider: Provider) -> str:
        issuer = provider.issuer.name
        return await discover(
            issuer,
            lambda url: self._fetch(url, provider),
            lambda document: read_jwks_uri(document, issuer),
            provider.metadata_urls,
        )

    async def _warn(self, keys: ProviderKeys, detail: str) -> None:
        log.warning("the keys of %s could not be fetched: %s", keys.issuer, detail)
        # The provider may have moved its keys: look where they are before the next try.
        await self._addresses.delete(keys.issuer)

    def _install(self, keys: ProviderKeys, found: KeySet, fresh_at: float, at: float) -> None:
        self._generation += 1
        if keys.install(found, self._generation, fresh_at):
            log.info("%d key(s) of %s are in force", len(found), keys.issuer)
            for left_out in found.left_out:
                log.warning("of the keys of %s not all is used: %s", keys.issuer, left_out)
        self._loaded[keys.issuer] = len(found), at
        self._observer.keys_loaded(keys.issuer, len(found), at)

    def _tell_again(self, keys: ProviderKeys, now: float) -> None:
        """Say what is left: nobody would hear else that there is no key, or no key any more.

        A successor of ours that had none may have said so, and be gone.
        """
        left = (0, 0.0) if keys.usable(now) is None else self._loaded[keys.issuer]
        self._observer.keys_loaded(keys.issuer, *left)

    async def _restore(self, keys: ProviderKeys) -> None:
        saved = None if self._snapshot is None else await self._snapshot.load(keys.issuer)
        if saved is None:
            return
        age = self._clock.now() - saved.fetched_at
        if not 0 <= age <= self._policy.max_stale:
            return
        try:
            found = await self._read(keys.provider, saved.document)
        except NoUsableKeys:
            log.warning("the saved keys of %s are of no use", keys.issuer)
            return
        self._install(keys, found, self._clock.steady() - age, saved.fetched_at)

    def _pause(self, keys: ProviderKeys) -> float:
        """Return the seconds to the next fetch, unless somebody wants one before."""
        if not keys.failures:
            # Earlier by chance, never later: a fleet must not ask all at once.
            return self._policy.max_age * (1 - random.uniform(0, _JITTER))  # noqa: S311
        has_keys = keys.usable(self._clock.steady()) is not None
        shortest, longest = _RETRY_WITH_KEYS if has_keys else _RETRY_WITHOUT_KEYS
        ceiling = min(longest, self._policy.max_age, shortest * 2 ** min(keys.failures, 10))
        return max(shortest, random.uniform(ceiling / 2, ceiling))  # noqa: S311
