"""How the demo's gateway verifies tokens: by signature and dates alone, as the real one does.

It reads neither ``iss`` nor ``aud``. That the sidecar does is what it adds, so a stand-in that were
stricter than the original would hide a hole.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from aiohttp import ClientError, ClientSession, ClientTimeout
from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, KeySet, RSAKey

from sidecar.adapters.clock import SystemClock
from sidecar.ports import Clock

# A token's subject, or None for a token that proves nothing.
Verifier = Callable[[str], Coroutine[Any, Any, str | None]]

_ALGORITHMS = ("RS256", "ES256")
_FETCH_SECONDS = 10.0


class ProviderUnreachable(Exception):
    """The identity provider's keys were never loaded, so no token can be verified."""


def identity_provider_verifier(jwks_url: str, clock: Clock | None = None) -> Verifier:
    """Return a verifier on the keys at ``jwks_url``; it raises ``ProviderUnreachable`` without any.

    The keys are fetched for the first token and again for every ``kid`` that is not among them (the
    original waits five minutes between two such fetches, which no demo could).
    """
    return _JwksVerifier(jwks_url, clock or SystemClock()).subject


class _JwksVerifier:
    def __init__(self, jwks_url: str, clock: Clock) -> None:
        self._jwks_url = jwks_url
        self._clock = clock
        self._keys: dict[str, RSAKey | ECKey] | None = None
        self._fetching = asyncio.Lock()

    async def subject(self, token: str) -> str | None:
        try:
            header = jws.extract_compact(token.encode()).headers()
        except (JoseError, ValueError):
            return None
        kid, algorithm = header.get("kid"), header.get("alg")
        if not isinstance(kid, str) or algorithm not in _ALGORITHMS:
            return None
        key = await self._key(kid)
        if key is None or key.get("alg", algorithm) != algorithm:
            return None
        try:
            claims = jwt.decode(token, key, algorithms=[algorithm]).claims
        except (JoseError, ValueError):
            return None
        return _subject(claims, self._clock.now())

    async def _key(self, kid: str) -> RSAKey | ECKey | None:
        seen = self._keys
        if seen is None or kid not in seen:
            async with self._fetching:
                if self._keys is seen:  # else somebody fetched while we waited
                    await self._fetch()
        return (self._keys or {}).get(kid)

    async def _fetch(self) -> None:
        try:
            async with (
                ClientSession(timeout=ClientTimeout(total=_FETCH_SECONDS)) as session,
                session.get(self._jwks_url, raise_for_status=True) as answer,
            ):
                published = KeySet.import_key_set(await answer.json())
        except (ClientError, TimeoutError, JoseError, ValueError, KeyError, TypeError) as problem:
            if self._keys is None:
                raise ProviderUnreachable(self._jwks_url) from problem
            return
        self._keys = {
            str(key.kid): key
            for key in published.keys
            if isinstance(key, RSAKey | ECKey) and key.get("use", "sig") == "sig"
        }


def _subject(claims: dict[str, Any], now: float) -> str | None:
    expires_at, not_before = claims.get("exp", now + 1), claims.get("nbf", now)
    if not isinstance(expires_at, int | float) or not isinstance(not_before, int | float):
        return None
    subject = claims.get("sub")
    if not isinstance(subject, str) or not subject or not not_before <= now < expires_at:
        return None
    return subject
