"""gRPC's server as a listener that any gRPC front can use: it binds by itself, and goes on.

It takes an address and no socket. The port is shared (SO_REUSEPORT), so that a worker or a
successor listens beside the others.

One call with a ``:path`` that is no UTF-8 makes the library's server (1.85) stop accepting, and
takes no credential for it; what is open goes on. So whether it still accepts is looked at, and
another one takes its place.
"""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

import grpc
import grpc.aio

log = logging.getLogger(__name__)

_LOOK_SECONDS = 0.01
_RETRY_SECONDS = 1.0
_STOP_SECONDS = 0.02
_LONGEST_CALL_SECONDS = 30 * 86400.0


@dataclass(frozen=True, slots=True)
class Certificate:
    """PEM of a server: its key, its chain, and the authorities of clients if they must show one."""

    key: bytes = field(repr=False)
    chain: bytes
    client_ca: bytes | None = None


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen. ``reserved`` is a socket bound to the port, which is closed at the end."""

    host: str
    port: int
    certificate: Certificate | None = None
    reserved: socket.socket | None = None

    def text(self, port: int) -> str:
        """Return host and port, as the library takes them."""
        return f"[{self.host}]:{port}" if ":" in self.host else f"{self.host}:{port}"


def read_peer(peer: str) -> str:
    """Return the address in the library's name of a peer, such as ``ipv6:%5B::1%5D:50000``."""
    scheme, _, address = peer.partition(":")
    if scheme not in ("ipv4", "ipv6"):
        return ""
    return unquote(address).rpartition(":")[0].strip("[]")


class GrpcListener:
    """A running listener. ``url`` is where it is, ``is_accepting`` until new ones go elsewhere.

    ``make`` makes a server with its handlers, which is bound and started here; its options must
    have ``grpc.so_reuseport``.
    """

    def __init__(self, make: Callable[[], grpc.aio.Server], address: Address) -> None:
        self._make = make
        self._address = address
        self._server: grpc.aio.Server
        self._leaving: dict[grpc.aio.Server, asyncio.Task[None]] = {}
        self._port = address.port
        if address.reserved is not None:
            self._port = address.reserved.getsockname()[1]
        self.url = ""
        self.is_accepting = False

    async def start(self) -> None:
        """Listen. Raises OSError where the address cannot be listened on."""
        server = self._make()
        try:
            self._port = _bind(server, self._address, self._port)
            await server.start()
        except BaseException:
            await server.stop(None)
            raise
        self._server = server
        scheme = "grpc" if self._address.certificate is None else "grpcs"
        self.url = f"{scheme}://{self._address.text(self._port)}"
        self.is_accepting = True

    async def watch(self) -> None:
        """Put another server in the place of one that stopped by itself."""
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            if self.is_accepting and not _is_running(self._server):
                log.error("the gRPC listener stopped by itself; another one takes its place")
                self._retire()
                try:
                    await self.start()
                except OSError as error:
                    log.error("the gRPC listener cannot be opened again, trying on: %s", error)  # noqa: TRY400
                    await asyncio.sleep(_RETRY_SECONDS)

    async def stop_accepting(self) -> None:
        """Accept no more connections, and let calls on those that there are go on to their ends.

        Clients hear that further calls go elsewhere (GOAWAY). A call that is on its way in just
        that moment ends with CANCELLED.
        """
        if self.is_accepting:
            self.is_accepting = False
            self._retire()
            await asyncio.wait({self._leaving[self._server]}, timeout=_STOP_SECONDS)

    async def end(self, seconds: float | None = None) -> None:
        """Accept no more connections, and end what is open: after so many seconds, or at once."""
        self.is_accepting = False
        servers = {*self._leaving, self._server}
        await asyncio.gather(*(stop_server(server, seconds) for server in servers))
        await asyncio.gather(*self._leaving.values())

    def _retire(self) -> None:
        leaving = self._server
        if leaving not in self._leaving:
            loop = asyncio.get_running_loop()
            task = loop.create_task(stop_server(leaving, _LONGEST_CALL_SECONDS))
            self._leaving[leaving] = task
            task.add_done_callback(lambda _: self._leaving.pop(leaving, None))


@asynccontextmanager
async def grpc_listening(
    make: Callable[[], grpc.aio.Server], address: Address
) -> AsyncIterator[GrpcListener]:
    """Listen until the block ends.

    Raises:
        OSError: the address cannot be listened on, or the certificate not be used.
    """
    listener = GrpcListener(make, address)
    try:
        await listener.start()
        async with asyncio.TaskGroup() as tasks:
            watching = tasks.create_task(listener.watch())
            try:
                yield listener
            finally:
                watching.cancel()
                await listener.end()
    finally:
        if address.reserved is not None:
            address.reserved.close()


async def stop_server(server: grpc.aio.Server, grace: float | None) -> None:
    """Stop a server, also one that has stopped accepting by itself."""
    try:
        await server.stop(grace)
    except Exception:  # noqa: BLE001 - the one that it stopped of, which the library has logged
        # Its first step is done, and raises that once; the rest remains to be done.
        await server.stop(grace)


def _is_running(server: grpc.aio.Server) -> bool:
    inner: Any = server
    # Nothing public tells: `wait_for_termination` waits for the last open call too.
    return bool(inner._server.is_running())  # noqa: SLF001


def _bind(server: grpc.aio.Server, address: Address, port: int) -> int:
    text, certificate = address.text(port), address.certificate
    try:
        if certificate is None:
            return server.add_insecure_port(text)
        credentials = grpc.ssl_server_credentials(
            [(certificate.key, certificate.chain)],
            root_certificates=certificate.client_ca,
            require_client_auth=certificate.client_ca is not None,
        )
        return server.add_secure_port(text, credentials)
    except RuntimeError as error:
        raise OSError(f"{text}: {error}") from None
