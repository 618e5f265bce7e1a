"""What the listeners beside the doors have in common: aiohttp's server, without its application."""

import ssl
from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self

from aiohttp import web

_CLOSE_SECONDS = 0.5


class SmallListener(ABC):
    """Listens between ``async with`` and its end; ``url`` is where. ``tls`` is its context, if any.

    Whoever inherits answers in ``_handle``.
    """

    def __init__(self, host: str, port: int, tls: ssl.SSLContext | None = None) -> None:
        self._host = host
        self._port = port
        self.tls = tls
        self._runner: web.ServerRunner | None = None
        self.url = ""

    async def __aenter__(self) -> Self:
        """Listen. Raises OSError where the address cannot be listened on."""
        runner = web.ServerRunner(
            web.Server(self._handle, access_log=None), shutdown_timeout=_CLOSE_SECONDS
        )
        await runner.setup()
        try:
            await web.TCPSite(runner, self._host, self._port, ssl_context=self.tls).start()
        except BaseException:
            await runner.cleanup()
            raise
        self._runner = runner
        host, port = runner.addresses[0][:2]
        scheme = "http" if self.tls is None else "https"
        self.url = f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    @abstractmethod
    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse: ...
