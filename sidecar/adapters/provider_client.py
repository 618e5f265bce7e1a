"""Fetching a document from an identity provider: bounded in time, size and trust.

The address comes from the settings, or from a discovery document of the configured issuer; never
from a token.
"""

import ssl
from collections.abc import Mapping

import aiohttp

from sidecar.adapters.bounded_fetch import FetchFailed, SessionHolder, fetch
from sidecar.adapters.provider_keys import Provider
from sidecar.ports import FetchOutcome

_ACCEPT = "application/jwk-set+json, application/json"


class ProviderClient(SessionHolder):
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
        super().__init__(accept, lambda: aiohttp.TCPConnector(force_close=True))
        self._timeout = timeout
        self._max_bytes = max_bytes
        self._tls = tls or {}

    async def fetch(self, url: str, provider: Provider) -> bytes:
        """Return the document at ``url``.

        Raises:
            FetchFailed: in whatever way it failed.
        """
        if not url.startswith("https://") and not (
            provider.insecure_http and url.startswith("http://")
        ):
            raise FetchFailed(FetchOutcome.MALFORMED, "the address is not https")
        return await fetch(
            self.session,
            "GET",
            url,
            seconds=self._timeout,
            max_bytes=self._max_bytes,
            tls=self._tls.get(provider.issuer.name),
        )
