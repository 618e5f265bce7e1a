"""What an introspection endpoint answered a moment ago, by token: bounded, and never for long.

aiocache holds the values and lets go of them in time. It has no bound of its own, so the order in
which they came is kept here; and its ``None`` is "nothing there", so each answer is wrapped.
"""

import hashlib
import secrets
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from aiocache import SimpleMemoryCache

from sidecar.core.bearer import BearerToken


@dataclass(frozen=True, slots=True)
class Answered:
    """The members of an active answer, or None; of no use from ``until`` on (steady seconds)."""

    members: Mapping[str, Any] | None = field(repr=False)
    until: float


class AnswerMemory:
    """One issuer's answers. Keyed by a keyed hash: it holds no token (CVE-2026-33496).

    Those that were not active have a memory of their own: strangers send such tokens, and would
    push out the others.
    """

    def __init__(self, capacity: int) -> None:
        self._key = secrets.token_bytes(32)
        self._active = _Bounded(capacity)
        self._inactive = _Bounded(min(capacity, _MAX_INACTIVE))

    def digest(self, bearer: BearerToken) -> str:
        """Return what the token is known by here."""
        return hashlib.blake2b(bearer.encode("ascii"), digest_size=32, key=self._key).hexdigest()

    async def recall(self, digest: str, now: float) -> Answered | None:
        """Return the answer, if there is one that still counts."""
        found = await self._active.get(digest) or await self._inactive.get(digest)
        return found if found is not None and now < found.until else None

    async def remember(
        self, digest: str, members: Mapping[str, Any] | None, lifetime: float, now: float
    ) -> None:
        """Keep an answer for ``lifetime`` seconds; 0 keeps nothing."""
        kept, other = (
            (self._inactive, self._active) if members is None else (self._active, self._inactive)
        )
        await other.drop(digest)
        if lifetime > 0:
            await kept.put(digest, Answered(members, now + lifetime), lifetime)


_MAX_INACTIVE = 4096


class _Bounded:
    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        # Without a timeout of its own: one costs five times what the look-up does.
        self._values = SimpleMemoryCache(timeout=0)
        self._order: OrderedDict[str, None] = OrderedDict()

    async def get(self, key: str) -> Answered | None:
        found: Answered | None = await self._values.get(key)
        return found

    async def put(self, key: str, value: Answered, ttl: float) -> None:
        self._order[key] = None
        self._order.move_to_end(key)
        while len(self._order) > self._capacity:
            oldest, _ = self._order.popitem(last=False)
            await self._values.delete(oldest)
        await self._values.set(key, value, ttl=ttl)

    async def drop(self, key: str) -> None:
        self._order.pop(key, None)
        await self._values.delete(key)
