"""The listener of Envoy's door: gRPC's server with our limits and drain."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial

import grpc
from grpc_health.v1.health_pb2_grpc import add_HealthServicer_to_server

from sidecar.fronts.ext_authz.checker import Checker
from sidecar.fronts.ext_authz.health import AUTHORIZATION, Health
from sidecar.fronts.grpc_listener import Address, GrpcListener, grpc_listening

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


class ExtAuthz:
    """A running listener. ``url`` is where it is, ``is_accepting`` until new ones go elsewhere."""

    def __init__(self, listener: GrpcListener, health: Health) -> None:
        self._listener = listener
        self._health = health
        self.url = listener.url
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
        await self._listener.end(seconds)


@asynccontextmanager
async def listening(
    checker: Checker, is_ready: Callable[[], bool], address: Address
) -> AsyncIterator[ExtAuthz]:
    """Listen until the block ends; call ``drain`` before to end in good order.

    ``is_ready`` says whether requests can be granted now.

    Raises:
        OSError: the address cannot be listened on, or the certificate not be used.
    """
    health = Health(is_ready)
    async with grpc_listening(partial(_make_server, checker, health), address) as listener:
        yield ExtAuthz(listener, health)


def _make_server(checker: Checker, health: Health) -> grpc.aio.Server:
    server = grpc.aio.server(options=_OPTIONS)
    # Octets in and out: what cannot be read has to become a refusal of ours, in log and metrics.
    check: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(checker.check)
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(AUTHORIZATION, {"Check": check}),)
    )
    add_HealthServicer_to_server(health, server)
    return server
