"""The trace of a request at every door: what is noted of it, and what upstream is told."""

import asyncio
from ipaddress import ip_network
from typing import Any

import pytest

from sidecar.core.dialect import Dialect
from sidecar.core.trace import Door as TraceDoor
from sidecar.core.trace import Follow, Record
from sidecar.core.trace_context import read_traceparent
from sidecar.fronts.forwarded import TrustedProxies
from sidecar.observability.tracing.sampler import Sampler, SamplingPolicy
from tests.fakes.checks import Door, FakeCaller, check_of
from tests.fakes.doors import Asked, forward_auth_door, question_of
from tests.fakes.front import running_front, status_of
from tests.fakes.grpc_front import ECHO, ROUTES, end_of, grpc_upstream, hang, running_grpc_front
from tests.fakes.upstream import OK, Conversation, scripted_upstream
from tests.fakes.waiting import until
from tests.fakes.world import World

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PARENT = f"00-{TRACE}-{SPAN}-01"
TRACEPARENT = f"TraceParent: {PARENT}".encode()
LOOPBACK = TrustedProxies((ip_network("127.0.0.0/8"),))


def traced(*, ratio: float = 0.0, follow: Follow = Follow.ALL, **members: Any) -> World:
    world = World(**members)
    world.tracer = Sampler(SamplingPolicy(ratio, follow), world.clock)
    return world


def record_of(world: World) -> Record:
    (record,) = {request.record for request, _, _ in world.observer.decisions}
    assert record is not None
    return record


async def test_without_a_tracer_what_tells_of_traces_passes_on_untouched() -> None:
    told = (b"traceparent: nonsense", b"TraceState: a=1", b"tracestate: B")
    async with scripted_upstream() as upstream, running_front(upstream.url) as front:
        await front.ask("GET /reports HTTP/1.1", *told)

    assert upstream.last.values("traceparent") == ["nonsense"]
    assert upstream.last.values("tracestate") == ["a=1", "B"]
    assert [request.trace for request, _, _ in front.world.observer.decisions] == [None]


async def test_upstream_is_told_of_our_span_in_the_clients_trace() -> None:
    world = traced()
    async with scripted_upstream() as upstream, running_front(upstream.url, world=world) as front:
        await front.ask(
            "GET /reports HTTP/1.1", TRACEPARENT, b"tracestate: a=1", b"tracestate: b=2"
        )

    record = record_of(world)
    assert upstream.last.values("traceparent") == [f"00-{TRACE}-{record.upstream_id}-01"]
    assert upstream.last.values("tracestate") == ["a=1,b=2"]
    assert record.parent == read_traceparent([PARENT])
    assert record.address == upstream.url
    assert record.upstream_status == 200
    assert record.upstream_ended_at is not None


@pytest.mark.parametrize("told", [(), (b"traceparent: 00-x",), (TRACEPARENT, TRACEPARENT)])
async def test_what_is_no_trace_begins_a_new_one_that_is_not_sampled(
    told: tuple[bytes, ...],
) -> None:
    world = traced()
    async with scripted_upstream() as upstream, running_front(upstream.url, world=world) as front:
        await front.ask("GET /reports HTTP/1.1", *told, b"tracestate: a=1")

    (value,) = upstream.last.values("traceparent")
    parent = read_traceparent([value])
    assert parent is not None
    assert not parent.is_sampled
    assert parent.trace_id != TRACE
    assert upstream.last.values("tracestate") == []
    ((request, _, _),) = world.observer.decisions
    assert request.trace is not None
    assert request.trace.trace_id == parent.trace_id
    assert request.record is None


async def test_each_request_of_a_connection_has_a_trace_of_its_own() -> None:
    world = traced()
    async with scripted_upstream() as upstream, running_front(upstream.url, world=world) as front:
        reader, writer = await asyncio.open_connection(*front.address)
        for _ in range(3):
            writer.write(front.request())
            await reader.readuntil(b"\r\n\r\nok")
        writer.close()

    values = [value for each in upstream.conversations for value in each.values("traceparent")]
    assert len(values) == len(set(values)) == 3


@pytest.mark.parametrize("is_trusted", [True, False])
async def test_by_default_only_a_trusted_proxy_is_followed(is_trusted: bool) -> None:  # noqa: FBT001
    world = traced(follow=Follow.TRUSTED)
    trusted = LOOPBACK if is_trusted else TrustedProxies()
    async with (
        scripted_upstream() as upstream,
        running_front(upstream.url, world=world, trusted=trusted) as front,
    ):
        await front.ask("GET /reports HTTP/1.1", TRACEPARENT)

    (value,) = upstream.last.values("traceparent")
    assert (TRACE in value) is is_trusted


async def test_naming_it_in_connection_takes_nothing_out() -> None:
    world = traced()
    async with scripted_upstream() as upstream, running_front(upstream.url, world=world) as front:
        line = "GET /reports HTTP/1.1"
        await front.send(front.request(line, b"Connection: close, traceparent", TRACEPARENT))

    assert len(upstream.last.values("traceparent")) == 1


async def test_a_body_that_comes_later_goes_the_other_way_and_is_traced_too() -> None:
    async def talk(conversation: Conversation) -> None:
        await conversation.read(5)
        await conversation.say(OK)

    world = traced()
    world.enroll("robot", "admin")
    async with (
        scripted_upstream(talk) as upstream,
        running_front(upstream.url, world=world) as front,
    ):
        head = front.request("POST /admin/x HTTP/1.1", TRACEPARENT, b"Content-Length: 5")
        reader, writer = await asyncio.open_connection(*front.address)
        writer.write(head)
        await until(lambda: len(upstream.conversations) == 1)
        writer.write(b"hello")
        await reader.readuntil(b"\r\n\r\nok")
        writer.close()

    record = record_of(world)
    assert upstream.last.values("traceparent") == [f"00-{TRACE}-{record.upstream_id}-01"]
    assert record.upstream_status == 200


async def test_a_handshake_tells_upstream_of_the_trace_too() -> None:
    handshake = (
        b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Version: 13",
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    )  # fmt: skip
    world = traced()
    async with scripted_upstream() as upstream, running_front(upstream.url, world=world) as front:
        await front.send(front.request("GET /watch HTTP/1.1", TRACEPARENT, *handshake))

    record = record_of(world)
    assert upstream.last.values("traceparent") == [f"00-{TRACE}-{record.upstream_id}-01"]


async def test_what_the_decision_waits_for_is_noted() -> None:
    world = traced(ratio=1.0)
    world.enroll("robot", at_hand=False)
    async with scripted_upstream() as upstream, running_front(upstream.url, world=world) as front:
        await front.ask()

    waits = [dict(event.attributes)["for"] for event in record_of(world).events]
    assert waits == ["account"]


async def test_who_waits_is_sampled_once() -> None:
    world = World()
    world.enroll("robot", at_hand=False)
    limited: list[int] = []
    policy = SamplingPolicy(1.0, per_second=1.0)
    world.tracer = Sampler(policy, world.clock, lambda: limited.append(1))
    async with scripted_upstream() as upstream, running_front(upstream.url, world=world) as front:
        await front.ask()

    assert record_of(world).upstream_status == 200
    assert limited == []


async def test_a_failure_of_upstream_has_a_span_of_upstream() -> None:
    world = traced(ratio=1.0)
    async with running_front("http://127.0.0.1:1", world=world) as front:
        assert status_of(await front.ask()) == 502

    record = record_of(world)
    assert record.upstream_at is not None
    assert record.first_byte_at is None


@pytest.mark.parametrize("line", ["GET /reports HTTP/1.1", "PUT /admin/x HTTP/1.1"])
async def test_a_cut_is_noted_whichever_way_the_request_went(line: str) -> None:
    async def talk(conversation: Conversation) -> None:
        await conversation.say(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nh")
        await asyncio.Event().wait()

    world = traced(ratio=1.0)
    world.enroll("robot", "admin")
    more = (b"Content-Length: 9",) if line.startswith("PUT") else ()
    async with (
        scripted_upstream(talk) as upstream,
        running_front(upstream.url, world=world) as front,
    ):
        reader, writer = await asyncio.open_connection(*front.address)
        writer.write(front.request(line, *more))
        await reader.readuntil(b"\r\n\r\n")
        assert front.cut() == 1
        writer.close()
        await until(lambda: world.observer.answers != [])

    (event,) = record_of(world).events
    assert (event.name, event.attributes) == ("cut", (("reason", "revoked"),))


@pytest.mark.parametrize("dialect", list(Dialect))
async def test_a_question_of_a_proxy_has_a_span_and_no_upstream(dialect: Dialect) -> None:
    world = traced(follow=Follow.TRUSTED)
    fields = (("traceparent", PARENT),)
    asked = Asked(authorization=(f"Bearer {world.sign()}",), fields=fields)
    async with forward_auth_door(dialect, world) as door:
        assert status_of(await door.send(question_of(dialect, asked))) == 200

    record = record_of(world)
    assert record.parent == read_traceparent([PARENT])
    assert (record.arrival.door, record.upstream_at) == (TraceDoor.FORWARD_AUTH, None)


async def test_a_check_continues_envoys_trace_and_not_its_clients() -> None:
    door = Door(traced(follow=Follow.TRUSTED))
    other = f"00-{'1' * 32}-{SPAN}-01"
    check = check_of(("authorization", f"Bearer {door.world.sign()}"), ("traceparent", other))
    caller = FakeCaller(metadata=(("traceparent", PARENT), ("tracestate", "a=1"), ("x-bin", b"1")))
    await door.send(check, caller)

    record = record_of(door.world)
    assert (record.trace_id, record.tracestate) == (TRACE, "a=1")
    assert record.arrival.peer == "127.0.0.1"


@pytest.mark.parametrize("follow", [Follow.ALL, Follow.TRUSTED])
async def test_where_envoy_does_not_trace_its_clients_trace_counts_as_anywhere(
    follow: Follow,
) -> None:
    door = Door(traced(follow=follow))
    await door.ask(("traceparent", PARENT))

    ((request, _, _),) = door.world.observer.decisions
    assert request.trace is not None
    assert (request.trace.trace_id == TRACE) is (follow is Follow.ALL)


async def test_a_call_is_traced_to_upstream() -> None:
    world = traced(routes=ROUTES)
    async with (
        grpc_upstream() as upstream,
        running_grpc_front(upstream.target, world=world) as front,
    ):
        more = (("traceparent", PARENT), ("tracestate", "a=1"))
        await front.ask(b"hello", more=more)

    record = record_of(world)
    assert upstream.last.values("traceparent") == [f"00-{TRACE}-{record.upstream_id}-01"]
    assert upstream.last.values("tracestate") == ["a=1"]
    assert record.address == upstream.target
    assert record.first_byte_at is not None
    assert record.upstream_ended_at is not None


async def test_a_call_that_is_cut_is_noted() -> None:
    world = traced(ratio=1.0, routes=ROUTES)
    async with (
        grpc_upstream(hang) as upstream,
        running_grpc_front(upstream.target, world=world) as front,
    ):
        call = front.begin(ECHO, (front.bearer(),), 20.0)
        await call.read()
        assert front.cut() == 1
        await end_of(call)

    assert [event.name for event in record_of(world).events] == ["cut"]
