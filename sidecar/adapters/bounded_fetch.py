"""One HTTP request to a server that may be broken: bounded in time, size and trust."""

import asyncio
import ssl
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import aiohttp
import yarl

from sidecar.ports import FetchOutcome

_PIECE = 65536


class FetchFailed(Exception):
    """There is no document; ``outcome`` says in a word why, ``detail`` for the log.

    The detail quotes nothing that was sent. ``status`` is the answer's, where that was wrong.
    """

    def __init__(self, outcome: FetchOutcome, detail: str, status: int | None = None) -> None:
        super().__init__(outcome, detail)
        self.outcome = outcome
        self.detail = detail
        self.status = status


def open_session(accept: str, connector: aiohttp.BaseConnector) -> aiohttp.ClientSession:
    """Open a session that keeps nothing between requests and heeds no proxy of the environment."""
    return aiohttp.ClientSession(
        cookie_jar=aiohttp.DummyCookieJar(),
        connector=connector,
        headers={"Accept": accept, "User-Agent": "sidecar"},
        trust_env=False,
    )


class SessionHolder:
    """Has a session between ``async with`` and its end, with the connector that is made then."""

    def __init__(self, accept: str, connect: Callable[[], aiohttp.BaseConnector]) -> None:
        self._accept = accept
        self._connect = connect
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = open_session(self._accept, self._connect())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._session is not None:
            await self._session.close()

    @property
    def session(self) -> aiohttp.ClientSession:
        """The session; there is one inside ``async with`` only."""
        assert self._session is not None, "inside `async with` only"  # noqa: S101
        return self._session


async def fetch(
    session: aiohttp.ClientSession,
    method: str,
    url: str,
    *,
    seconds: float,
    max_bytes: int,
    tls: ssl.SSLContext | None = None,
    **options: Any,
) -> bytes:
    """Return what is answered with 200, inflated, within ``seconds`` and ``max_bytes``.

    Redirects are not followed: they would take a credential to another server, and one to http://
    or to a metadata service is an attack (K7).

    Raises:
        FetchFailed: in whatever way it failed.
    """
    try:
        async with (
            asyncio.timeout(seconds),
            session.request(
                method,
                yarl.URL(url, encoded=True),
                allow_redirects=False,
                ssl=True if tls is None else tls,
                **options,
            ) as answer,
        ):
            return await _read(answer, max_bytes)
    except TimeoutError:
        # A server that trickles is down.
        raise FetchFailed(FetchOutcome.TIMEOUT, f"no answer in {seconds:g} s") from None
    except aiohttp.ClientConnectionError as error:
        raise FetchFailed(FetchOutcome.UNREACHABLE, f"{type(error).__name__}: {error}") from None
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise FetchFailed(FetchOutcome.MALFORMED, type(error).__name__) from None


async def _read(answer: aiohttp.ClientResponse, max_bytes: int) -> bytes:
    if answer.status != 200:
        raise FetchFailed(FetchOutcome.STATUS, f"status {answer.status}", answer.status)
    document = bytearray()
    # Inflated by aiohttp piece by piece, so a bomb is stopped at the limit.
    async for piece in answer.content.iter_chunked(_PIECE):
        document += piece
        if len(document) > max_bytes:
            raise FetchFailed(FetchOutcome.TOO_LARGE, f"more than {max_bytes} bytes")
    return bytes(document)
