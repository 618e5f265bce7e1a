"""The listener: gRPC's server with our limits and drain.

It binds by itself: gRPC takes an address, no socket. The port is shared (SO_REUSEPORT), so that a
worker or a successor listens beside the others; who may do so is whoever has the same user.
"""

import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import grpc
from grpc_health.v1.health_pb2_grpc import add_HealthServicer_to_server

from sidecar.fronts.ext_authz.checker import Checker
from sidecar.fronts.ext_authz.health import AUTHORIZATION, Health

_RELIEF_SECONDS = 0.5
_LONGEST_CHECK_SECONDS = 10.0

# A check holds one request's header. Envoy takes 60 KiB of one by default, 8 MiB at most.
_MAX_MESSAGE_OCTETS = 1024 * 1024
_OPTIONS = (
    ("grpc.so_reuseport", 1),
    ("grpc.max_receive_message_length", _MAX_MESSAGE_OCTETS),
    # Envoy asks over one connection for as long as it lives, and pings on it as it is told to.
    ("grpc.http2.min_ping_interval_without_data_ms", 5000),
)


@dataclass(frozen=True, slots=True)
class Certificate:
    """PEM of a server: its key, its chain, and the authorities of clients if they must show one."""

    key: bytes = field(repr=False)
    chain: bytes
    client_ca: bytes | None = None


@dataclass(frozen=True, slots=True)
class ListenPolicy:
    """Where to listen. ``reserved`` is a socket bound to the port, which is closed at the end."""

    host: str
    port: int
    certificate: Certificate | None = None
    reserved: socket.socket | None = None


class ExtAuthz:
    """A running listener. ``url`` is where it is, ``is_accepting`` until new ones go elsewhere."""

    def __init__(self, server: grpc.aio.Server, health: Health, url: str) -> None:
        self._server = server
        self._health = health
        self.url = url
        self.is_accepting = True

    def dismiss(self) -> None:
        """Go on serving, and say at each health check that others have to."""
        self._health.leave()

    async def stop_accepting(self) -> None:
        """Accept no more connections; those that there are end, with the checks in flight.

        gRPC cannot serve on on connections that there are: it tells their clients to connect anew
        (GOAWAY), which is to somebody else. A check that came at this very moment may be left
        without an answer; so it is cut soon, and Envoy asks again (its ``retry_policy``).
        """
        self._health.relieve()
        await self._end(_RELIEF_SECONDS)

    async def drain(self, seconds: float) -> None:
        """Accept no more connections, let checks in flight end, and cut the rest at the end."""
        self._health.leave()
        await self._end(min(seconds, _LONGEST_CHECK_SECONDS))

    async def _end(self, seconds: float) -> None:
        self.is_accepting = False
        await self._server.stop(seconds)


@asynccontextmanager
async def listening(
    checker: Checker, is_ready: Callable[[], bool], policy: ListenPolicy
) -> AsyncIterator[ExtAuthz]:
    """Listen until the block ends; call ``drain`` before to end in good order.

    ``is_ready`` says whether requests can be granted now.

    Raises:
        OSError: the address cannot be listened on, or the certificate not be used.
    """
    health = Health(is_ready)
    server = grpc.aio.server(options=_OPTIONS)
    # Octets in and out: what cannot be read has to become a refusal of ours, in log and metrics.
    check: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(checker.check)
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(AUTHORIZATION, {"Check": check}),)
    )
    add_HealthServicer_to_server(health, server)
    try:
        port = _bind(server, policy)
        await server.start()
        yield ExtAuthz(server, health, _url(policy, port))
    finally:
        await server.stop(None)
        if policy.reserved is not None:
            policy.reserved.close()


def _bind(server: grpc.aio.Server, policy: ListenPolicy) -> int:
    port = policy.port if policy.reserved is None else policy.reserved.getsockname()[1]
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
