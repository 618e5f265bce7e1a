"""The listener: gRPC's server with our limits and drain.

It binds by itself: gRPC takes an address, no socket. The port is shared (SO_REUSEPORT), so that a
worker or a successor listens beside the others.

One call with a ``:path`` that is no UTF-8 makes the library's server (1.85) stop accepting; what is
open goes on. So whether it still accepts is looked at, and another one takes its place.
"""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import grpc
import grpc.aio

from sidecar.fronts.grpc_proxy.handler import Handler
from sidecar.fronts.grpc_proxy.upstream import message_options

log = logging.getLogger(__name__)

_LOOK_SECONDS = 0.05
_RETRY_SECONDS = 1.0
_POLL_SECONDS = 0.02
_CLOSE_SECONDS = 1.0
_LONGEST_CALL_SECONDS = 30 * 86400.0
# Clients probe us as they like, but not in a flood.
_SHORTEST_PROBE_MS = 1000


@dataclass(frozen=True, slots=True)
class Certificate:
    """PEM of a server: its key, its chain, and the authorities of clients if they must show one."""

    key: bytes = field(repr=False)
    chain: bytes
    client_ca: bytes | None = None


@dataclass(frozen=True, slots=True)
class ListenPolicy:
    """Where to listen, and what is taken.

    ``keepalive`` is how often, in seconds, a silent client is probed: the connection of a session
    outlives whatever forgets idle ones on the way, and one whose client has vanished ends.
    ``reserved`` is a socket bound to the port, which is closed with the front.
    """

    host: str
    port: int
    certificate: Certificate | None = None
    max_message_octets: int = 18 * 1024 * 1024
    max_calls: int = 1000
    keepalive: float = 30.0
    reserved: socket.socket | None = None


class GrpcProxy:
    """A running listener. ``url`` is where it is, ``is_accepting`` until new ones go elsewhere."""

    def __init__(self, handler: Handler, policy: ListenPolicy) -> None:
        self._handler = handler
        self._policy = policy
        self._server: grpc.aio.Server
        self._leaving: dict[grpc.aio.Server, asyncio.Task[None]] = {}
        self._port = policy.port
        if policy.reserved is not None:
            self._port = policy.reserved.getsockname()[1]
        self.url = ""
        self.is_accepting = False

    async def start(self) -> None:
        """Listen. Raises OSError where the address cannot be listened on."""
        server = grpc.aio.server(
            handlers=(self._handler,),
            options=_options(self._policy),
            maximum_concurrent_rpcs=self._policy.max_calls,
        )
        try:
            self._port = _bind(server, self._policy, self._port)
            await server.start()
        except BaseException:
            await server.stop(None)
            raise
        self._server = server
        self.url = _url(self._policy, self._port)
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

    def dismiss(self) -> None:
        """Go on serving. gRPC can tell clients to go elsewhere only with ``stop_accepting``."""

    async def stop_accepting(self) -> None:
        """Accept no more connections, and let calls on those that there are go on to their ends.

        Clients hear that further calls go elsewhere (GOAWAY). A call that is on its way in just
        that moment ends with CANCELLED.
        """
        if self.is_accepting:
            self.is_accepting = False
            self._retire()
            await asyncio.wait({self._leaving[self._server]}, timeout=_POLL_SECONDS)

    async def drain(self, seconds: float) -> None:
        """Accept no more connections, let calls end, and end the rest with UNAVAILABLE."""
        await self.stop_accepting()
        if not await self._are_done(seconds):
            log.warning(
                "%d calls are cut: they did not end within %g s", self._handler.calls, seconds
            )
            self._handler.leave()
            await self._are_done(_CLOSE_SECONDS)
        await self.close()

    async def close(self) -> None:
        """End everything at once."""
        self.is_accepting = False
        await asyncio.gather(
            *(stop_server(server, None) for server in {*self._leaving, self._server})
        )
        await asyncio.gather(*self._leaving.values())

    def _retire(self) -> None:
        leaving = self._server
        if leaving not in self._leaving:
            loop = asyncio.get_running_loop()
            task = loop.create_task(stop_server(leaving, _LONGEST_CALL_SECONDS))
            self._leaving[leaving] = task
            task.add_done_callback(lambda _: self._leaving.pop(leaving, None))

    async def _are_done(self, seconds: float) -> bool:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._handler.calls:  # noqa: ASYNC110 - handlers are the library's tasks
                    await asyncio.sleep(_POLL_SECONDS)
        return not self._handler.calls


@asynccontextmanager
async def listening(handler: Handler, policy: ListenPolicy) -> AsyncIterator[GrpcProxy]:
    """Listen until the block ends; call ``drain`` before to end in good order.

    Raises:
        OSError: the address cannot be listened on, or the certificate not be used.
    """
    proxy = GrpcProxy(handler, policy)
    try:
        await proxy.start()
        async with asyncio.TaskGroup() as tasks:
            watching = tasks.create_task(proxy.watch())
            try:
                yield proxy
            finally:
                watching.cancel()
                await proxy.close()
    finally:
        if policy.reserved is not None:
            policy.reserved.close()


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


def _options(policy: ListenPolicy) -> list[tuple[str, Any]]:
    return [
        *message_options(policy.max_message_octets),
        ("grpc.so_reuseport", 1),
        ("grpc.keepalive_time_ms", round(policy.keepalive * 1000)),
        ("grpc.keepalive_timeout_ms", 20_000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
        # By default a client that probes more often than every 5 minutes is thrown out.
        ("grpc.http2.min_ping_interval_without_data_ms", _SHORTEST_PROBE_MS),
    ]


def _bind(server: grpc.aio.Server, policy: ListenPolicy, port: int) -> int:
    address = f"[{policy.host}]:{port}" if ":" in policy.host else f"{policy.host}:{port}"
    certificate = policy.certificate
    try:
        if certificate is None:
            return server.add_insecure_port(address)
        credentials = grpc.ssl_server_credentials(
            [(certificate.key, certificate.chain)],
            root_certificates=certificate.client_ca,
            require_client_auth=certificate.client_ca is not None,
        )
        return server.add_secure_port(address, credentials)
    except RuntimeError as error:
        raise OSError(f"{address}: {error}") from None


def _url(policy: ListenPolicy, port: int) -> str:
    scheme = "grpc" if policy.certificate is None else "grpcs"
    host = f"[{policy.host}]" if ":" in policy.host else policy.host
    return f"{scheme}://{host}:{port}"
