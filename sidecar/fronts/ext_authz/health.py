"""Envoy's health checks (``grpc.health.v1.Health``): whether a check can be granted now.

The state is asked for at each call: none is kept that could be old.
"""

import asyncio
from collections.abc import AsyncIterator, Callable

import grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthServicer
from typing_extensions import override

AUTHORIZATION = "envoy.service.auth.v3.Authorization"

_SERVICES = frozenset({"", AUTHORIZATION})
_POLL_SECONDS = 0.1

_Context = grpc.aio.ServicerContext[HealthCheckRequest, HealthCheckResponse]


class Health(HealthServicer):
    """SERVING while requests can be granted (``is_ready``) and we are not leaving.

    Who is relieved serves on in its successor, at the same address: the last checks that come to
    it must not have Envoy leave out both.
    """

    def __init__(self, is_ready: Callable[[], bool]) -> None:
        self._is_ready = is_ready
        self._is_relieved = False
        self._left = asyncio.Event()

    def leave(self) -> None:
        """Be NOT_SERVING from now on, and end what watches."""
        self._left.set()

    def relieve(self) -> None:
        """End what watches, and speak for the successor from now on."""
        self._is_relieved = True
        self._left.set()

    @override
    async def Check(self, request: HealthCheckRequest, context: _Context) -> HealthCheckResponse:
        if request.service not in _SERVICES:
            await context.abort(grpc.StatusCode.NOT_FOUND, "unknown service")
        return self._response(request.service)

    @override
    async def Watch(
        self, request: HealthCheckRequest, context: _Context
    ) -> AsyncIterator[HealthCheckResponse]:
        last = None
        while True:
            is_last = self._left.is_set()
            response = self._response(request.service)
            if response != last:
                yield response
                last = response
            if is_last:
                return
            try:
                async with asyncio.timeout(_POLL_SECONDS):
                    await self._left.wait()
            except TimeoutError:
                pass

    def _response(self, service: str) -> HealthCheckResponse:
        if service not in _SERVICES:
            return HealthCheckResponse(status=HealthCheckResponse.SERVICE_UNKNOWN)
        is_here = self._is_relieved or not self._left.is_set()
        serves = self._is_ready() and is_here
        return HealthCheckResponse(
            status=HealthCheckResponse.SERVING if serves else HealthCheckResponse.NOT_SERVING
        )
