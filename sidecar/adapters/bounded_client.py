"""One HTTP request at a time to a server that may be broken: bounded in time, size and trust."""

import ssl
from collections.abc import Mapping
from types import TracebackType
from typing import Self

import aiohttp

from sidecar.account_sync import NotFetched, SyncFailure
from sidecar.adapters.bounded_fetch import FetchFailed, fetch, open_session

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
        connector = (
            aiohttp.TCPConnector(force_close=True)
            if self._socket is None
            else aiohttp.UnixConnector(self._socket, force_close=True)
        )
        self._session = open_session("application/json", connector)
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
        assert self._session is not None, "inside `async with` only"  # noqa: S101
        try:
            return await fetch(
                self._session,
                "GET" if form is None else "POST",
                self._base + path,
                seconds=self._timeout,
                max_bytes=max_bytes,
                tls=self._tls,
                server_hostname=self._server_name,
                headers=headers,
                data=form,
            )
        except FetchFailed as failed:
            raise NotFetched(SyncFailure(failed.outcome.value), failed.detail[:200]) from None
