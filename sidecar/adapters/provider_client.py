"""Fetching a document from an identity provider: bounded in time, size and trust.

The address comes from the settings, or from a discovery document of the configured issuer; never
from a token.
"""

import asyncio
import ssl
from collections.abc import Mapping
from types import TracebackType
from typing import Self

import aiohttp
import yarl

from sidecar.adapters.provider_keys import Provider
from sidecar.ports import FetchOutcome

_PIECE = 65536
_HEADERS = {"Accept": "application/jwk-set+json, application/json", "User-Agent": "sidecar"}


class FetchFailed(Exception):
    """There is no document; ``outcome`` says in a word why, ``detail`` for the log."""

    def __init__(self, outcome: FetchOutcome, detail: str) -> None:
        super().__init__(outcome, detail)
        self.outcome = outcome
        self.detail = detail


class ProviderClient:
    """Fetches between ``async with`` and its end.

    Args:
        timeout: seconds that a whole fetch may take: a provider that trickles is down.
        max_bytes: bytes that a document may have, inflated.
        tls: contexts by issuer, where one is verified by other authorities than the system's.
    """

    def __init__(
        self, timeout: float, max_bytes: int, tls: Mapping[str, ssl.SSLContext] | None = None
    ) -> None:
        self._timeout = timeout
        self._max_bytes = max_bytes
        self._tls = tls or {}
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            cookie_jar=aiohttp.DummyCookieJar(),
            connector=aiohttp.TCPConnector(force_close=True),
            headers=_HEADERS,
            trust_env=False,
        )
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
        try:
            async with asyncio.timeout(self._timeout):
                return await self._get(url, self._tls.get(provider.issuer.name))
        except TimeoutError:
            raise FetchFailed(FetchOutcome.TIMEOUT, f"no answer in {self._timeout:g} s") from None
        except aiohttp.ClientConnectionError as error:
            raise FetchFailed(
                FetchOutcome.UNREACHABLE, f"{type(error).__name__}: {error}"
            ) from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise FetchFailed(FetchOutcome.MALFORMED, type(error).__name__) from None

    async def _get(self, url: str, tls: ssl.SSLContext | None) -> bytes:
        assert self._session is not None, "inside `async with` only"  # noqa: S101
        # Redirects are refused: one to http:// or to a metadata service is an attack (K7).
        async with self._session.get(
            yarl.URL(url, encoded=True), allow_redirects=False, ssl=True if tls is None else tls
        ) as answer:
            if answer.status != 200:
                raise FetchFailed(FetchOutcome.STATUS, f"status {answer.status}")
            document = bytearray()
            # Inflated by aiohttp piece by piece, so a bomb is stopped at the limit.
            async for piece in answer.content.iter_chunked(_PIECE):
                document += piece
                if len(document) > self._max_bytes:
                    raise FetchFailed(FetchOutcome.TOO_LARGE, f"more than {self._max_bytes} bytes")
            return bytes(document)
