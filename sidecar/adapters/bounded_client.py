"""One HTTP request at a time to a server that may be broken: bounded in time, size and trust."""

import asyncio
import ssl
from collections.abc import Mapping
from types import TracebackType
from typing import Self

import aiohttp
import yarl

from sidecar.account_sync import NotFetched, SyncFailure

_PIECE = 65536
_UNIX = "unix:"


class BoundedClient:
    """Asks one server between ``async with`` and its end.

    Args:
        base: what all its addresses begin with, such as ``https://host:8443/x``; or
            ``unix:/run/x.sock``.
        timeout: seconds that a whole request may take: a server that trickles is down.
        tls: how an https server is verified; without it by the system's authorities.
        server_name: the name that its certificate has to bear, where that is not the host's.
    """

    def __init__(
        self,
        base: str,
        timeout: float,
        tls: ssl.SSLContext | None = None,
        server_name: str | None = None,
    ) -> None:
        self._socket = base.removeprefix(_UNIX) if base.startswith(_UNIX) else None
        self._base = "http://localhost" if self._socket is not None else base.rstrip("/")
        self._timeout = timeout
        self._tls = tls
        self._server_name = server_name
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            cookie_jar=aiohttp.DummyCookieJar(),
            connector=(
                aiohttp.TCPConnector(force_close=True)
                if self._socket is None
                else aiohttp.UnixConnector(self._socket, force_close=True)
            ),
            headers={"Accept": "application/json", "User-Agent": "sidecar"},
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

    async def ask(
        self,
        path: str,
        max_bytes: int,
        headers: Mapping[str, str],
        form: Mapping[str, str] | None = None,
    ) -> bytes:
        """Return what a GET, or with ``form`` a POST, is answered with 200.

        ``max_bytes`` counts what is inflated.

        Raises:
            NotFetched: in whatever way it failed. Its detail quotes nothing that was sent.
        """
        try:
            async with asyncio.timeout(self._timeout):
                return await self._ask(path, max_bytes, headers, form)
        except TimeoutError:
            raise NotFetched(SyncFailure.TIMEOUT, f"no answer in {self._timeout:g} s") from None
        except aiohttp.ClientConnectionError as error:
            detail = f"{type(error).__name__}: {error}"[:200]
            raise NotFetched(SyncFailure.UNREACHABLE, detail) from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise NotFetched(SyncFailure.MALFORMED, type(error).__name__) from None

    async def _ask(
        self, path: str, max_bytes: int, headers: Mapping[str, str], form: Mapping[str, str] | None
    ) -> bytes:
        assert self._session is not None, "inside `async with` only"  # noqa: S101
        # A redirect would take the credential to another server.
        async with self._session.request(
            "GET" if form is None else "POST",
            yarl.URL(self._base + path, encoded=True),
            allow_redirects=False,
            ssl=True if self._tls is None else self._tls,
            server_hostname=self._server_name,
            headers=headers,
            data=form,
        ) as answer:
            if answer.status != 200:
                raise NotFetched(SyncFailure.STATUS, f"status {answer.status}")
            content = bytearray()
            # Inflated by aiohttp piece by piece, so a bomb is stopped at the limit.
            async for piece in answer.content.iter_chunked(_PIECE):
                content += piece
                if len(content) > max_bytes:
                    raise NotFetched(SyncFailure.TOO_LARGE, f"more than {max_bytes} bytes")
            return bytes(content)
