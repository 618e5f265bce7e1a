"""The listener of the gRPC proxy: gRPC's server with our limits and drain."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import grpc
import grpc.aio
from typing_extensions import override

from sidecar.fronts.grpc_listener import Address, GrpcListener, grpc_listening
from sidecar.fronts.grpc_proxy.exchange import Context
from sidecar.fronts.grpc_proxy.handler import Handler
from sidecar.fronts.grpc_proxy.upstream import message_options

log = logging.getLogger(__name__)

_POLL_SECONDS = 0.02
_CLOSE_SECONDS = 1.0
# Clients probe us as they like, but not in a flood.
_SHORTEST_PROBE_MS = 1000


@dataclass(frozen=True, slots=True)
class ListenPolicy:
    """Where to listen, and what is taken.

    ``max_calls`` may be under way. As many again may have ended, with clients that do not read it.
    ``keepalive`` is how often, in seconds, a silent client is probed: the connection of a session
    outlives whatever forgets idle ones on the way, and one whose client has vanished ends.
    """

    address: Address
    max_message_octets: int = 18 * 1024 * 1024
    max_calls: int = 1000
    keepalive: float = 30.0


class GrpcProxy:
    """A running front. ``url`` is where it is, ``is_accepting`` until new ones go elsewhere."""

    def __init__(self, handler: Handler, listener: GrpcListener) -> None:
        self._handler = handler
        self._listener = listener
        self.url = listener.url
        self.is_accepting = True

    def dismiss(self) -> None:
        """Go on serving. gRPC can tell clients to go elsewhere only with ``stop_accepting``."""

    async def stop_accepting(self) -> None:
        """Accept no more connections, and let calls on those that there are go on to their ends."""
        self.is_accepting = False
        await self._listener.stop_accepting()

    async def drain(self, seconds: float) -> None:
        """Accept no more connections, let calls end, and end the rest with UNAVAILABLE."""
        await self.stop_accepting()
        if not await self._are_done(seconds):
            late = self._handler.calls
            log.warning("%d calls are cut: they did not end within %g s", late, seconds)
            self._handler.leave()
            await self._are_done(_CLOSE_SECONDS)
        await self._listener.end()

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
    make = partial(_make_server, handler, policy)
    async with grpc_listening(make, policy.address) as listener:
        yield GrpcProxy(handler, listener)


def _make_server(handler: Handler, policy: ListenPolicy) -> grpc.aio.Server:
    return grpc.aio.server(
        handlers=(_Limited(handler, policy.max_calls),),
        options=_options(policy),
        # For the library a call goes on until its client has read the end: what was cut would hold
        # its place for as long as a disabled account likes.
        maximum_concurrent_rpcs=2 * policy.max_calls,
    )


class _Limited(grpc.GenericRpcHandler):
    """Turns calls away while ``max_calls`` are under way."""

    def __init__(self, handler: Handler, max_calls: int) -> None:
        self._handler = handler
        self._max_calls = max_calls

    @override
    def service(
        self, handler_call_details: grpc.HandlerCallDetails
    ) -> "grpc.RpcMethodHandler[bytes, bytes] | None":
        if self._handler.calls < self._max_calls:
            return self._handler.service(handler_call_details)
        return grpc.stream_stream_rpc_method_handler(_turn_away)


async def _turn_away(requests: object, context: Context) -> None:
    del requests
    context.set_code(grpc.StatusCode.RESOURCE_EXHAUSTED)
    context.set_details("too many calls")


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
