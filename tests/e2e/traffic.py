"""Steady requests on new and on kept connections, while something happens to the sidecar."""

import asyncio
import ssl
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass
class Traffic:
    """What became of the requests: by status, and of those without an answer by exception.

    ``refused`` are those that got no connection: they can go elsewhere, nothing is lost.
    """

    url: str
    token: str
    path: str = "/api/userinfo"
    tls: ssl.SSLContext | None = None
    statuses: Counter[int] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    refused: int = 0
    is_over: bool = False

    async def connect(self) -> Connection:
        where = urlsplit(self.url)
        name = None if self.tls is None else "localhost"
        return await asyncio.open_connection(
            where.hostname, where.port, ssl=self.tls, server_hostname=name
        )

    async def ask(self, connection: Connection, *, keep: bool) -> bool:
        """Send one request; return whether the connection may be used again."""
        reader, writer = connection
        writer.write(
            f"GET {self.path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {self.token}\r\n"
            f"Connection: {'keep-alive' if keep else 'close'}\r\n\r\n".encode()
        )
        head = await reader.readuntil(b"\r\n\r\n")
        fields = head.lower()
        length = int(fields.partition(b"content-length:")[2].split(b"\r\n")[0])
        await reader.readexactly(length)
        self.statuses[int(head.split()[1])] += 1
        return b"connection: close" not in fields

    async def on_new_connections(self, pause: float) -> None:
        """Ask on a connection of its own each time."""
        async with asyncio.TaskGroup() as tasks:
            while not self.is_over:
                tasks.create_task(self._ask_once())
                await asyncio.sleep(pause)

    async def ask_on_new_connections(self, times: int) -> None:
        """Ask so many times, one after the other."""
        for _ in range(times):
            await self._ask_once()

    async def on_kept_connection(self, pause: float) -> None:
        """Ask on one connection for as long as the sidecar does not say that it closes it."""
        connection: Connection | None = None
        while not self.is_over:
            try:
                connection = connection or await self.connect()
                if not await self.ask(connection, keep=True):
                    connection[1].close()
                    connection = None
            except ConnectionRefusedError:
                self.refused += 1
            except (OSError, EOFError, ValueError) as error:
                self.failures.append(f"kept: {error!r}")
                connection = None
            await asyncio.sleep(pause)
        if connection is not None:
            connection[1].close()

    async def _ask_once(self) -> None:
        try:
            connection = await self.connect()
        except OSError:
            self.refused += 1
            return
        try:
            await self.ask(connection, keep=False)
        except (OSError, EOFError, ValueError) as error:
            self.failures.append(f"new: {error!r}")
        finally:
            connection[1].close()


@asynccontextmanager
async def steady(traffic: Traffic, *, new_per_second: float, kept: int) -> AsyncIterator[Traffic]:
    """Ask until the block ends: so many new connections a second, and so many kept ones."""
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(traffic.on_new_connections(1 / new_per_second))
        for _ in range(kept):
            tasks.create_task(traffic.on_kept_connection(0.1))
        try:
            yield traffic
        finally:
            traffic.is_over = True
