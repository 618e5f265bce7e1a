"""Fetching a document from an identity provider: bounded in time, size and trust.

The address comes from the settings, or from a discovery document of the configured issuer; never
from a token.
"""

import ssl
from collections.abc import Mapping
from types import TracebackType
from typing import Self

import aiohttp

from sidecar.adapters.bounded_fetch import FetchFailed, fetch, open_session
from sidecar.adapters.provider_keys import Provider
from sidecar.ports import FetchOutcome

_ACCEPT = "application/jwk-set+json, application/json"


class ProviderClient:
    """Fetches between ``async with`` and its end.

    Args:
        timeout: seconds that a whole fetch may take: a provider that trickles is down.
        max_bytes: bytes that a document may have, inflated.
        tls: contexts by issuer, where one is verified by other authorities than the system's.
        accept: the media types to ask for.
    """

    def __init__(
        self,
        timeout: float,
        max_bytes: int,
        tls: Mapping[str, ssl.SSLContext] | None = None,
        accept: str = _ACCEPT,
    ) -> None:
        self._accept = accept
        self._timeout = timeout
        self._max_bytes = max_bytes
        self._tls = tls or {}
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = open_session(self._accept, aiohttp.TCPConnector(force_close=True))
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def fetch(self, url: str, provider: Provider) -> bytes:
        """Return the document at ``url``.

        Raises:
            FetchFailed: in whatever way it failed.
        """
        if not url.startswith("https://") and not (
            provider.insecure_http and url.startswith("http://")
        ):
            raise FetchFailed(FetchOutcome.MALFORMED, "the address is not https")
        assert self._session is not None, "inside `async with` only"  # noqa: S101
        return await fetch(
            self._session,
            "GET",
            url,
            seconds=self._timeout,
            max_bytes=self._max_bytes,
            tls=self._tls.get(provider.issuer.name),
        )
