"""A key source whose keys are put there by the test."""

import asyncio
from collections.abc import Callable, Mapping

from sidecar.core.token import VerificationKey, VerificationKeys


class FakeKeySource:
    """Implements ``ports.KeySource``; every publication is a new generation.

    ``on_refresh`` is called with the issuer at each refresh and may publish other keys. While
    ``held`` is set and not released, a refresh waits for it. ``failure`` is raised by ``keys``.
    Issuers in ``resting`` are in a cool-down.
    """

    def __init__(self) -> None:
        self.refreshes: list[tuple[str, str | None]] = []
        self.on_refresh: Callable[[str], None] | None = None
        self.unsettled: set[str] = set()
        self.resting: set[str] = set()
        self.held: asyncio.Event | None = None
        self.failure: Exception | None = None
        self._published: dict[str, VerificationKeys] = {}
        self._generation = 0

    def publish(self, issuer: str, by_kid: Mapping[str, tuple[VerificationKey, ...]]) -> None:
        """Put these keys in force for the issuer."""
        self._generation += 1
        self._published[issuer] = VerificationKeys(by_kid, self._generation)

    def forget(self, issuer: str) -> None:
        """Be without keys for the issuer, as after ``max_stale``."""
        self._published.pop(issuer, None)

    def keys(self, issuer: str) -> VerificationKeys | None:
        if self.failure is not None:
            raise self.failure
        return self._published.get(issuer)

    async def refresh(self, issuer: str, kid: str | None) -> None:
        self.refreshes.append((issuer, kid))
        if self.held is not None:
            await self.held.wait()
        if self.on_refresh is not None:
            self.on_refresh(issuer)

    def is_resting(self, issuer: str, kid: str | None) -> bool:
        del kid
        return issuer in self.resting

    def is_unsettled(self, issuer: str, kid: str | None) -> bool:
        del kid
        return issuer in self.unsettled
