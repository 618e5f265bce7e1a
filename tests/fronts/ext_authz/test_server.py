"""The listener: over a socket, with TLS, and an end in good order."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, closing
from typing import Any

import grpc
import pytest
import trustme
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from sidecar.app.sockets import SharedPort
from sidecar.fronts.ext_authz.health import AUTHORIZATION
from sidecar.fronts.ext_authz.server import ExtAuthz, listening
from sidecar.fronts.grpc_listener import Address, Certificate
from sidecar.observability.tracing.sampler import Sampler, SamplingPolicy
from tests.fakes.checks import Door, check_of, read_answer
from tests.fakes.raw_grpc import raw_call
from tests.fakes.waiting import until, until_async
from tests.fakes.world import World

ANYWHERE = Address("127.0.0.1", 0)
NOT_SERVING = HealthCheckResponse.NOT_SERVING


class Envoy:
    """A client as Envoy is one: it sends octets and waits with a deadline."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._check: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(
            f"/{AUTHORIZATION}/Check"
        )
        self._health: Any = HealthStub(channel)  # its stub is typed without its methods

    async def check(self, message: bytes, seconds: float = 10.0) -> int:
        return read_answer(await self._check(message, timeout=seconds)).status

    async def health(self) -> int:
        answer = await self._health.Check(HealthCheckRequest(service=AUTHORIZATION), timeout=10)
        status: int = answer.status
        return status


@asynccontextmanager
async def connected(
    front: ExtAuthz, credentials: grpc.ChannelCredentials | None = None
) -> AsyncIterator[Envoy]:
    target = front.url.partition("://")[2]
    # Else one process's channels would share one connection.
    options = [("grpc.use_local_subchannel_pool", 1)]
    if credentials is None:
        async with grpc.aio.insecure_channel(target, options=options) as channel:
            yield Envoy(channel)
        return
    options.append(("grpc.ssl_target_name_override", "sidecar.example"))  # type: ignore[arg-type]
    async with grpc.aio.secure_channel(target, credentials, options=options) as channel:
        yield Envoy(channel)


def good(door: Door) -> bytes:
    return check_of(("authorization", f"Bearer {door.world.sign()}"))


async def test_a_check_is_answered_over_a_socket() -> None:
    door = Door()
    async with (
        listening(door.checker, lambda: True, ANYWHERE) as front,
        connected(front) as envoy,
    ):
        assert front.url.startswith("grpc://127.0.0.1:")
        assert front.is_accepting
        assert await envoy.health() == HealthCheckResponse.SERVING
        assert await envoy.check(good(door)) == 200
        assert await envoy.check(check_of()) == 401
        assert await envoy.check(b"\xff") == 400


async def test_envoys_own_call_tells_of_its_trace() -> None:
    world = World()
    world.tracer = Sampler(SamplingPolicy(0.0), world.clock)
    door, trace_id = Door(world), "0af7651916cd43dd8448eb211c80319c"
    async with (
        listening(door.checker, lambda: True, ANYWHERE) as front,
        grpc.aio.insecure_channel(front.url.partition("://")[2]) as channel,
    ):
        check: Any = channel.unary_unary(f"/{AUTHORIZATION}/Check")
        told = (("traceparent", f"00-{trace_id}-b7ad6b7169203331-01"),)
        await check(good(door), metadata=told, timeout=10)

    ((request, _, _),) = world.observer.decisions
    assert request.record is not None
    assert request.record.trace_id == trace_id
    assert request.record.arrival.peer == "127.0.0.1"


async def test_health_is_what_the_probes_say() -> None:
    async with (
        listening(Door().checker, lambda: False, ANYWHERE) as front,
        connected(front) as envoy,
    ):
        assert await envoy.health() == NOT_SERVING


async def test_a_deadline_that_is_near_is_kept() -> None:
    door = Door()
    door.world.enroll("robot", at_hand=False)
    door.world.accounts.held = asyncio.Event()
    async with (
        listening(door.checker, lambda: True, ANYWHERE) as front,
        connected(front) as envoy,
    ):
        assert await envoy.check(good(door), seconds=1.0) == 503


async def test_who_is_dismissed_serves_on_and_says_that_others_have_to() -> None:
    door = Door()
    async with (
        listening(door.checker, lambda: True, ANYWHERE) as front,
        connected(front) as envoy,
    ):
        front.dismiss()
        assert front.is_accepting
        assert await envoy.health() == NOT_SERVING
        assert await envoy.check(good(door)) == 200


async def test_a_successor_on_the_same_port_gets_all_once_the_first_stops_accepting() -> None:
    first, second = Door(), Door()
    with closing(SharedPort("127.0.0.1", 0, 1)) as port:
        reserved = [port.sockets[0].dup() for _ in range(2)]
        policies = [Address("127.0.0.1", 1, reserved=each) for each in reserved]
        async with listening(second.checker, lambda: True, policies[1]) as successor:
            async with listening(first.checker, lambda: True, policies[0]) as front:
                assert front.url == successor.url == f"grpc://127.0.0.1:{port.port}"
                await front.stop_accepting()
                assert not front.is_accepting
                async with connected(front) as envoy:
                    for _ in range(10):
                        assert await envoy.check(check_of()) == 401
                await front.drain(1)
            assert reserved[0].fileno() == -1
            assert len(second.world.observer.decisions) == 10
            assert first.world.observer.decisions == []


@pytest.mark.parametrize(
    "end",
    [ExtAuthz.stop_accepting, lambda front: front.drain(10)],
    ids=["stop accepting", "drain"],
)
async def test_checks_in_flight_are_answered_when_it_ends(
    end: Callable[[ExtAuthz], Coroutine[Any, Any, None]],
) -> None:
    door = Door()
    door.world.enroll("robot", at_hand=False)
    door.world.accounts.held = asyncio.Event()
    async with (
        listening(door.checker, lambda: True, ANYWHERE) as front,
        connected(front) as envoy,
        asyncio.TaskGroup() as tasks,
    ):
        waiting = tasks.create_task(envoy.check(good(door)))
        await until(lambda: door.world.accounts.reads)
        ending = tasks.create_task(end(front))
        await until(lambda: not front.is_accepting)
        door.world.accounts.held.set()
        assert await waiting == 200
        await ending


async def test_what_does_not_end_in_time_is_cut_and_is_no_grant() -> None:
    door = Door()
    door.world.enroll("robot", at_hand=False)
    door.world.accounts.held = asyncio.Event()
    async with (
        listening(door.checker, lambda: True, ANYWHERE) as front,
        connected(front) as envoy,
    ):

        async def cut() -> None:
            await until(lambda: door.world.accounts.reads)
            await front.drain(0.0)

        answer, _ = await asyncio.gather(envoy.check(good(door)), cut(), return_exceptions=True)
        assert isinstance(answer, grpc.aio.AioRpcError)


async def test_an_address_that_is_taken_cannot_be_listened_on() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        policy = Address("127.0.0.1", taken.getsockname()[1])
        with pytest.raises(OSError, match=r"127\.0\.0\.1"):
            async with listening(Door().checker, lambda: True, policy):
                pass


def certificate(authority: trustme.CA, *, ask_client: bool) -> Certificate:
    leaf = authority.issue_cert("sidecar.example")
    chain = b"".join(each.bytes() for each in leaf.cert_chain_pems)
    ca = authority.cert_pem.bytes()
    return Certificate(leaf.private_key_pem.bytes(), chain, ca if ask_client else None)


def credentials(authority: trustme.CA, client: trustme.CA | None = None) -> grpc.ChannelCredentials:
    if client is None:
        return grpc.ssl_channel_credentials(authority.cert_pem.bytes())
    leaf = client.issue_cert("envoy.example")
    return grpc.ssl_channel_credentials(
        authority.cert_pem.bytes(),
        leaf.private_key_pem.bytes(),
        b"".join(each.bytes() for each in leaf.cert_chain_pems),
    )


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_tls_ends_here(host: str) -> None:
    authority = trustme.CA()
    policy = Address(host, 0, certificate(authority, ask_client=False))
    async with (
        listening(Door().checker, lambda: True, policy) as front,
        connected(front, credentials(authority)) as envoy,
    ):
        assert front.url.startswith("grpcs://")
        assert await envoy.check(check_of()) == 401


async def test_who_has_to_show_a_certificate_gets_no_answer_without_a_good_one() -> None:
    authority, stranger = trustme.CA(), trustme.CA()
    policy = Address("127.0.0.1", 0, certificate(authority, ask_client=True))
    door = Door()
    async with listening(door.checker, lambda: True, policy) as front:
        async with connected(front, credentials(authority, authority)) as envoy:
            assert await envoy.check(check_of()) == 401
        for client in (None, stranger):
            async with connected(front, credentials(authority, client)) as envoy:
                with pytest.raises(grpc.aio.AioRpcError):
                    await envoy.check(check_of(), seconds=5.0)
    assert len(door.world.observer.decisions) == 1


async def test_a_path_that_is_no_text_stops_nobody() -> None:
    """Whoever reaches the door could close it for Envoy: another listener takes its place."""
    door = Door()
    async with listening(door.checker, lambda: True, ANYWHERE) as front:
        await raw_call(front.url, b"/\xff")

        async def is_served() -> bool:
            async with connected(front) as envoy:
                try:
                    return await envoy.check(good(door)) == 200
                except grpc.aio.AioRpcError:
                    return False

        await until_async(is_served)
