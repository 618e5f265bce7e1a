"""Health: what Envoy is told when it asks whether to send checks here."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, NoReturn

import grpc
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from sidecar.fronts.ext_authz.health import AUTHORIZATION, Health

SERVING, NOT_SERVING = HealthCheckResponse.SERVING, HealthCheckResponse.NOT_SERVING
UNKNOWN = HealthCheckResponse.SERVICE_UNKNOWN


class Aborted(Exception):
    """The call was ended with a status."""


class FakeContext:
    """As much of gRPC's context as health uses."""

    async def abort(self, code: grpc.StatusCode, details: str) -> NoReturn:
        raise Aborted(code, details)


CONTEXT: Any = FakeContext()


async def status_of(health: Health, service: str = AUTHORIZATION) -> int:
    return (await health.Check(HealthCheckRequest(service=service), CONTEXT)).status


async def next_status(watch: AsyncIterator[HealthCheckResponse]) -> int:
    async with asyncio.timeout(10):
        return (await anext(watch)).status


@pytest.mark.parametrize("service", ["", AUTHORIZATION])
async def test_it_serves_while_requests_can_be_granted(service: str) -> None:
    ready = [False, True]
    health = Health(ready.pop)

    assert [await status_of(health, service) for _ in range(2)] == [SERVING, NOT_SERVING]


async def test_who_is_leaving_does_not_serve() -> None:
    health = Health(lambda: True)
    health.leave()

    assert await status_of(health) == NOT_SERVING


async def test_who_is_relieved_speaks_for_its_successor() -> None:
    """At the same address: Envoy would leave out the one that serves."""
    health = Health(lambda: True)
    health.leave()
    health.relieve()

    assert await status_of(health) == SERVING


async def test_another_service_is_not_known() -> None:
    with pytest.raises(Aborted) as raised:
        await status_of(Health(lambda: True), "another")
    assert raised.value.args[0] is grpc.StatusCode.NOT_FOUND


async def test_who_watches_hears_each_change_and_the_end() -> None:
    ready = True
    health = Health(lambda: ready)
    watch = health.Watch(HealthCheckRequest(service=AUTHORIZATION), CONTEXT)

    assert await next_status(watch) == SERVING
    ready = False
    assert await next_status(watch) == NOT_SERVING
    ready = True
    assert await next_status(watch) == SERVING
    health.leave()
    assert await next_status(watch) == NOT_SERVING
    with pytest.raises(StopAsyncIteration):
        await anext(watch)


async def test_who_watches_what_is_not_known_is_told_so() -> None:
    health = Health(lambda: True)

    assert await next_status(health.Watch(HealthCheckRequest(service="x"), CONTEXT)) == UNKNOWN
