"""One HTTP request at a time to a server that may be broken: bounded in time, size and trust."""

import ssl
from collections.abc import Mapping
from functools import partial

import aiohttp

from sidecar.account_sync import NotFetched, SyncFailure
from sidecar.adapters.bounded_fetch import FetchFailed, SessionHolder, fetch

_UNIX = "unix:"


class BoundedClient(SessionHolder):
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
        super().__init__("application/json", partial(_connect, base))
        self._base = "http://localhost" if base.startswith(_UNIX) else base.rstrip("/")
        self._timeout = timeout
        self._tls = tls
        self._server_name = server_name

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
            return await fetch(
                self.session,
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


def _connect(base: str) -> aiohttp.BaseConnector:
    if base.startswith(_UNIX):
        return aiohttp.UnixConnector(base.removeprefix(_UNIX), force_close=True)
    return aiohttp.TCPConnector(force_close=True)
