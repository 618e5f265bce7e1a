"""One address of upstream: how it is connected to, and the connections that there are."""

import asyncio
import socket
import ssl
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from aiohappyeyeballs import start_connection

from sidecar.fronts.forwarded import is_address
from sidecar.fronts.reverse_proxy.upstream.breaker import Breaker
from sidecar.fronts.reverse_proxy.upstream.connection import Connection
from sidecar.fronts.reverse_proxy.upstream.policy import UpstreamPolicy

# RFC 8305: an address that does not answer must not hold up the other family's.
_HAPPY_EYEBALLS_SECONDS = 0.25


class Address:
    """One address of upstream and the connections to it."""

    def __init__(
        self,
        url: str,
        policy: UpstreamPolicy,
        changed: Callable[[str, bool], None] = lambda _url, _healthy: None,
    ) -> None:
        self._policy = policy
        self.url = url
        self.breaker = Breaker(policy.breaker_rules, lambda: changed(url, self.breaker.is_closed))
        self.path = url[len("unix:") :] if url.startswith("unix:") else None
        parts = urlsplit(url)
        self.host = parts.hostname or ""
        self.authority = parts.netloc or "localhost"
        is_tls = parts.scheme == "https"
        self.port = parts.port or (443 if is_tls else 80)
        self.tls = (policy.tls or ssl.create_default_context()) if is_tls else None
        self.idle: list[Connection] = []
        self.busy: set[Connection] = set()
        self.connecting = 0

    @property
    def load(self) -> int:
        return len(self.busy) + self.connecting

    def take_idle(self) -> Connection | None:
        while self.idle:
            connection = self.idle.pop()  # the last used: the others may expire
            if connection.is_usable:
                return connection
        return None

    async def connect(self, make: Callable[[], Connection]) -> Connection:
        loop = asyncio.get_running_loop()
        if self.path is not None:
            _, connection = await loop.create_unix_connection(make, self.path)
        else:
            where = await self._where()
            if self.tls is None:
                _, connection = await loop.create_connection(make, **where)
            else:
                name = self._policy.server_name or self.host
                _, connection = await loop.create_connection(
                    make, **where, ssl=self.tls, server_hostname=name
                )
        return connection

    async def _where(self) -> dict[str, Any]:
        """Return what to connect to: an address, or a socket that has found one of a name's."""
        if is_address(self.host):
            return {"host": self.host, "port": self.port}
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
        return {
            "sock": await start_connection(
                found, happy_eyeballs_delay=_HAPPY_EYEBALLS_SECONDS, interleave=1, loop=loop
            )
        }
