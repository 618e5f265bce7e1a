"""A granted call on its way: all that was sent arrives, and an end on one side is one on both."""

import asyncio
import contextlib
import gc
import resource
from typing import Any

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1._async import HealthServicer
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from sidecar.core.decision import Grant
from sidecar.core.routes import Route
from sidecar.fronts.grpc_proxy.metadata import Metadatum
from sidecar.fronts.grpc_proxy.upstream import Call, UpstreamPolicy, send
from sidecar.ports import Change, CutReason, StreamKind, UpstreamError
from tests.fakes.grpc_front import (
    ECHO,
    Conversation,
    GrpcFront,
    channel_to,
    end_of,
    grpc_upstream,
    hang,
    running_grpc_front,
)
from tests.fakes.raw_grpc import raw_upstream
from tests.fakes.waiting import until
from tests.fakes.world import World

OK = grpc.StatusCode.OK
ENDED = (grpc.aio.AioRpcError, grpc.aio.InternalError, asyncio.InvalidStateError)
MIB = 1024 * 1024


def in_flight(front: GrpcFront) -> int:
    return front.world.observer.in_flight_now[StreamKind.GRPC]


async def test_messages_go_both_ways_as_they_come() -> None:
    async with grpc_upstream() as upstream, running_grpc_front(upstream.target) as front:
        call = front.begin()
        for message in (b"one", b"", b"\0" * 70_000):
            await call.write(message)
            assert await call.read() == message
        await call.done_writing()

        assert (await end_of(call)).code is OK
        assert upstream.last.half_closed
        assert in_flight(front) == 0


async def test_every_kind_of_call_is_carried() -> None:
    async def count(conversation: Conversation) -> None:
        while await conversation.read() is not None:
            pass
        for _ in conversation.received:
            await conversation.say(b"seen")

    async with grpc_upstream(count) as upstream, running_grpc_front(upstream.target) as front:
        metadata = (front.bearer(),)
        one: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = front.channel.unary_unary(ECHO)
        assert await one(b"a", metadata=metadata) == b"seen"
        many: grpc.aio.UnaryStreamMultiCallable[bytes, bytes] = front.channel.unary_stream(ECHO)
        assert [each async for each in many(b"a", metadata=metadata)] == [b"seen"]
        begin: grpc.aio.StreamUnaryMultiCallable[bytes, bytes] = front.channel.stream_unary(ECHO)
        upload = begin(metadata=metadata)
        await upload.write(b"a")
        await upload.done_writing()
        assert await upload == b"seen"


async def test_a_message_of_17_mib_passes_and_a_larger_one_is_refused() -> None:
    largest = b"\x07" * (17 * MIB)
    async with grpc_upstream() as upstream, running_grpc_front(upstream.target) as front:
        answer = await front.ask(largest)
        assert answer.code is OK
        assert answer.messages == [largest]

        answer = await front.ask(b"\x07" * (19 * MIB))
        assert answer.code is grpc.StatusCode.RESOURCE_EXHAUSTED
        await upstream.last.ended.wait()
        assert not upstream.last.half_closed, "a call that broke must not look complete"


async def test_a_message_of_upstream_that_is_too_large_ends_the_call() -> None:
    async def large(conversation: Conversation) -> None:
        await conversation.say(b"x" * 2000)

    policy = UpstreamPolicy("", max_message_octets=1000)
    async with (
        grpc_upstream(large) as upstream,
        running_grpc_front(upstream.target, upstream=policy) as front,
    ):
        answer = await front.ask()

        assert answer.code is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert answer.details == "message too large"


names = st.from_regex(r"[a-z][a-z0-9_.-]{0,12}", fullmatch=True).filter(
    lambda name: (
        not name.startswith(("grpc-", "x-auth", "x_auth", "x-", "api")) and "-bin" not in name
    )
)
texts = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=20)
pairs = st.one_of(
    st.tuples(names, texts),
    st.tuples(names.map(lambda name: f"{name}-bin"), st.binary(max_size=20)),
)
metadata_lists = st.lists(pairs, max_size=6).flatmap(
    lambda few: st.lists(st.sampled_from(few), max_size=8) if few else st.just([])
)
OF_THE_HOP = {
    "te", "host", "user-agent", "content-type", "content-length", "connection", "upgrade",
    "trailer", "authorization", "origin", "forwarded", "keep-alive", "cookie",
}  # fmt: skip


def by_name(metadata: list[Metadatum] | tuple[Metadatum, ...]) -> dict[str, list[str | bytes]]:
    found: dict[str, list[str | bytes]] = {}
    for name, value in metadata:
        if name not in OF_THE_HOP:
            found.setdefault(name, []).append(value)
    return found


Example = tuple[list[Metadatum], list[Metadatum], list[Metadatum], grpc.StatusCode, str]


def examples() -> list[Example]:
    """Return what Hypothesis thinks of, to be tried in one event loop."""
    gathered: list[Example] = []

    @settings(max_examples=60, deadline=None, database=None, phases=[Phase.generate])
    @given(
        request=metadata_lists,
        initial=metadata_lists,
        trailing=metadata_lists,
        code=st.sampled_from(list(grpc.StatusCode)),
        details=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
    )
    def gather(
        request: list[Metadatum],
        initial: list[Metadatum],
        trailing: list[Metadatum],
        code: grpc.StatusCode,
        details: str,
    ) -> None:
        gathered.append((request, initial, trailing, code, details))

    gather()
    return gathered


async def test_metadata_trailers_and_status_arrive_as_they_were_sent() -> None:
    """Both ways: values of one name in their order, octets as octets, details in any language."""
    said: list[Example] = []

    async def talk(conversation: Conversation) -> None:
        _, initial, trailing, code, details = said[-1]
        await conversation.context.send_initial_metadata(initial)
        conversation.context.set_trailing_metadata(tuple(trailing))
        conversation.context.set_code(code)
        conversation.context.set_details(details)

    asked = await asyncio.to_thread(examples)
    async with grpc_upstream(talk) as upstream, running_grpc_front(upstream.target) as front:
        for request, initial, trailing, code, details in asked:
            said.append((request, initial, trailing, code, details))
            answer = await front.ask(more=request)

            sent = by_name(upstream.last.metadata)
            assert {name: sent.get(name) for name in by_name(request)} == by_name(request)
            assert by_name(answer.initial) == by_name(initial)
            assert by_name(answer.trailing) == by_name(trailing)
            assert answer.code is code
            if code is not OK:  # which has no message
                assert answer.details == details


async def test_status_details_go_through() -> None:
    async def refuse(conversation: Conversation) -> None:
        await conversation.context.abort(
            grpc.StatusCode.FAILED_PRECONDITION,
            "not nów",
            (("grpc-status-details-bin", b"\x08\x09"), ("reason", "x")),
        )

    async with grpc_upstream(refuse) as upstream, running_grpc_front(upstream.target) as front:
        answer = await front.ask()

        assert (answer.code, answer.details) == (grpc.StatusCode.FAILED_PRECONDITION, "not nów")
        assert answer.trailer("grpc-status-details-bin") == b"\x08\x09"
        assert answer.trailer("reason") == "x"


async def test_what_upstream_said_before_it_ended_early_arrives_whole() -> None:
    """Though the client is still sending: neither the answer nor the status is lost for it."""

    async def early(conversation: Conversation) -> None:
        await conversation.context.send_initial_metadata((("a", "b"),))
        await conversation.say(b"enough")
        conversation.context.set_trailing_metadata((("c", "d"),))
        conversation.context.set_code(grpc.StatusCode.OUT_OF_RANGE)
        conversation.context.set_details("no more")

    async def flood(call: Call) -> None:
        with contextlib.suppress(grpc.aio.UsageError, *ENDED):
            for _ in range(20):
                await send(call, b"x" * 100_000)
            await call.done_writing()

    async with grpc_upstream(early) as upstream, running_grpc_front(upstream.target) as front:
        for _ in range(100):
            call = front.begin()
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(flood(call))
                answer = await end_of(call)

            assert (answer.code, answer.details) == (grpc.StatusCode.OUT_OF_RANGE, "no more")
            assert answer.messages == [b"enough"]
            assert answer.initial == [("a", "b")]
            assert answer.trailing == [("c", "d")]


async def test_a_call_that_upstream_cancels_by_itself_is_told_so() -> None:
    async def cancel(conversation: Conversation) -> None:
        await conversation.context.abort(grpc.StatusCode.CANCELLED, "by upstream")

    async with grpc_upstream(cancel) as upstream, running_grpc_front(upstream.target) as front:
        answer = await front.ask()

        assert (answer.code, answer.details) == (grpc.StatusCode.CANCELLED, "by upstream")


async def test_what_came_as_trailers_alone_goes_on_so_and_is_tried_again() -> None:
    """Clients repeat a call by themselves only where nothing of an answer has come."""
    tries = 0

    async def at_third(conversation: Conversation) -> None:
        nonlocal tries
        tries += 1
        if tries < 3:
            await conversation.context.abort(grpc.StatusCode.UNAVAILABLE, "busy")
        await conversation.say(b"done")

    policy = (
        '{"methodConfig": [{"name": [{}], "retryPolicy": {"maxAttempts": 5, "initialBackoff":'
        ' "0.01s", "maxBackoff": "0.01s", "backoffMultiplier": 1,'
        ' "retryableStatusCodes": ["UNAVAILABLE"]}}]}'
    )
    async with grpc_upstream(at_third) as upstream, running_grpc_front(upstream.target) as front:
        target = front.proxy.url.partition("://")[2]
        options = [("grpc.service_config", policy)]
        async with grpc.aio.insecure_channel(target, options) as channel:
            one: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(ECHO)
            assert await one(b"a", metadata=(front.bearer(),)) == b"done"
        assert tries == 3


async def test_headers_go_on_before_any_message() -> None:
    async def late(conversation: Conversation) -> None:
        await conversation.context.send_initial_metadata(())
        await asyncio.Event().wait()

    async with grpc_upstream(late) as upstream, running_grpc_front(upstream.target) as front:
        call = front.begin()

        assert list(await asyncio.wait_for(call.initial_metadata(), 10)) == []
        call.cancel()


async def test_a_deadline_is_passed_on() -> None:
    async with grpc_upstream(hang) as upstream, running_grpc_front(upstream.target) as front:
        call = front.begin(timeout=1.0)
        await call.read()
        remaining = upstream.last.context.time_remaining()
        assert 0 < remaining <= 1.1

        assert (await end_of(call)).code is grpc.StatusCode.DEADLINE_EXCEEDED
        await asyncio.wait_for(upstream.last.ended.wait(), 10)
        assert upstream.last.cancelled
        await until(lambda: in_flight(front) == 0)


async def test_without_a_deadline_upstream_gets_none() -> None:
    async with grpc_upstream(hang) as upstream, running_grpc_front(upstream.target) as front:
        call = front.begin()
        await call.read()
        remaining: float | None = upstream.last.context.time_remaining()

        assert remaining is None
        call.cancel()


async def test_what_a_client_gives_up_is_given_up_upstream() -> None:
    async with grpc_upstream(hang) as upstream, running_grpc_front(upstream.target) as front:
        call = front.begin()
        await call.read()
        call.cancel()

        await asyncio.wait_for(upstream.last.ended.wait(), 10)
        assert upstream.last.cancelled
        await until(lambda: front.world.observer.calls)
        assert front.world.observer.calls[0][1] == "CANCELLED"


async def test_an_upload_that_is_given_up_never_looks_complete() -> None:
    """The library says of a cancelled call first that it has ended, then that it was cancelled."""

    async def take(conversation: Conversation) -> None:
        while await conversation.read() is not None:
            pass

    async with grpc_upstream(take) as upstream, running_grpc_front(upstream.target) as front:
        for number in range(200):
            call = front.begin()
            await call.write(b"x" * (1 + number * 500))
            await until(lambda: upstream.conversations and upstream.last.received)
            call.cancel()
            conversation = upstream.conversations.pop()
            await asyncio.wait_for(conversation.ended.wait(), 10)
            assert not conversation.half_closed, number


async def test_a_slow_reader_holds_its_sender_back() -> None:
    """Far less is buffered than is sent: one message, and what the windows of HTTP/2 take."""
    sent = 0
    message = b"x" * (256 * 1024)

    async def flood(conversation: Conversation) -> None:
        nonlocal sent
        while sent < 2000:
            await conversation.say(message)
            sent += 1

    async with grpc_upstream(flood) as upstream, running_grpc_front(upstream.target) as front:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        call = front.begin()
        await call.initial_metadata()
        last = -1
        while last != sent:  # until nothing moves any more
            last = sent
            await asyncio.sleep(0.3)
        assert sent < 200, "of 2000"
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 150 * 1024
        await call.read()
        await call.read()
        call.cancel()
        gc.collect()


async def test_a_fast_client_waits_for_a_slow_upstream() -> None:
    async def never_read(conversation: Conversation) -> None:
        await conversation.context.send_initial_metadata(())
        await asyncio.Event().wait()

    async with grpc_upstream(never_read) as upstream, running_grpc_front(upstream.target) as front:
        call = front.begin()
        await call.initial_metadata()
        sent = 0
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(2):
                while sent < 2000:
                    await call.write(b"x" * (256 * 1024))
                    sent += 1
        assert sent < 200


@pytest.mark.parametrize(
    ("reason", "code", "words"),
    [
        (CutReason.REVOKED, grpc.StatusCode.UNAUTHENTICATED, "access revoked"),
        (CutReason.EXPIRED, grpc.StatusCode.UNAUTHENTICATED, "token expired"),
        (CutReason.STATUS_UNAVAILABLE, grpc.StatusCode.UNAVAILABLE, "access cannot be verified"),
    ],
)
async def test_a_cut_ends_both_sides(reason: CutReason, code: grpc.StatusCode, words: str) -> None:
    async with grpc_upstream(hang) as upstream, running_grpc_front(upstream.target) as front:
        call = front.begin()
        assert await call.read() == b"hello"
        assert front.cut(reason) == 1

        answer = await end_of(call)
        assert (answer.code, answer.details) == (code, words)
        await asyncio.wait_for(upstream.last.ended.wait(), 10)
        assert upstream.last.cancelled
        assert in_flight(front) == 0
        assert front.world.observer.calls[0][1] == code.name


async def test_a_cut_reaches_upstream_at_once_though_the_client_does_not_read() -> None:
    async def flood(conversation: Conversation) -> None:
        while True:
            await conversation.say(b"x" * 100_000)

    async with grpc_upstream(flood) as upstream, running_grpc_front(upstream.target) as front:
        call = front.begin()
        await call.initial_metadata()
        await asyncio.sleep(0.3)
        front.cut()

        await asyncio.wait_for(upstream.last.ended.wait(), 10)
        assert in_flight(front) == 0
        assert (await end_of(call)).code is grpc.StatusCode.UNAUTHENTICATED


async def test_a_cut_before_upstream_has_answered_is_an_answer() -> None:
    async def silent(conversation: Conversation) -> None:
        del conversation
        await asyncio.Event().wait()

    async with grpc_upstream(silent) as upstream, running_grpc_front(upstream.target) as front:
        call = front.begin()
        await until(lambda: upstream.conversations)
        front.cut()

        assert (await end_of(call)).code is grpc.StatusCode.UNAUTHENTICATED


@pytest.mark.parametrize(("timeout", "endless"), [(None, True), (3600.0, True), (30.0, False)])
async def test_a_call_without_a_near_deadline_has_no_end_of_its_own(
    timeout: float | None,  # noqa: ASYNC109
    endless: bool,  # noqa: FBT001
) -> None:
    async with grpc_upstream(hang) as upstream, running_grpc_front(upstream.target) as front:
        call = front.begin(timeout=timeout)
        await call.read()
        (stream,) = front.streams.of(Change())

        assert stream.is_endless is endless
        assert isinstance(stream.grant, Grant)
        call.cancel()


async def test_an_upstream_that_is_not_there_is_unavailable_and_nothing_leaks() -> None:
    async with running_grpc_front("127.0.0.1:1") as front:
        answer = await front.ask(b"x")

        assert answer.code is grpc.StatusCode.UNAVAILABLE
        assert answer.details == "upstream unavailable, try again"
        assert [error for _, error in front.world.observer.upstream_failures] == [
            UpstreamError.CONNECT
        ]


async def test_a_cut_leaves_upstream_in_the_same_moment() -> None:
    async with grpc_upstream(hang) as upstream, running_grpc_front(upstream.target) as front:
        call = front.begin()
        await call.read()
        (exchange,) = front.handler._under_way
        front.cut()

        assert exchange._call is not None
        assert exchange._call.cancelled()
        assert (await end_of(call)).code is grpc.StatusCode.UNAUTHENTICATED


async def test_a_client_that_goes_while_its_call_is_cut_is_gone() -> None:
    async with grpc_upstream(hang) as upstream, running_grpc_front(upstream.target) as front:
        call = front.begin()
        await call.read()
        (exchange,) = front.handler._under_way
        front.cut()
        assert exchange._task is not None
        exchange._task.cancel()  # as the library does when the client goes
        await until(lambda: front.world.observer.calls)

        assert front.world.observer.calls[0][1] == "CANCELLED"
        call.cancel()


async def test_a_fault_of_ours_is_an_internal_error_that_says_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with grpc_upstream() as upstream, running_grpc_front(upstream.target) as front:
        await front.handler._parts.upstream._channel.close()
        answer = await front.ask(b"x")

        assert (answer.code, answer.details) == (
            grpc.StatusCode.INTERNAL,
            "internal server error",
        )
        assert "a granted call could not be carried out" in caplog.text
        assert in_flight(front) == 0


async def test_metadata_of_upstream_that_cannot_be_sent_on_end_the_call() -> None:
    """Whoever speaks HTTP/2 by hand can send them; the library would fail in the midst of it."""
    for trailers_only in (False, True):
        async with (
            raw_upstream(trailers_only=trailers_only) as target,
            running_grpc_front(target) as front,
        ):
            answer = await front.ask(b"x")

            assert (answer.code, answer.details) == (
                grpc.StatusCode.INTERNAL,
                "bad answer from upstream",
            )
            assert [error for _, error in front.world.observer.upstream_failures] == [
                UpstreamError.MALFORMED
            ]


async def test_compressed_messages_arrive_and_a_bomb_does_not() -> None:
    async with grpc_upstream() as upstream, running_grpc_front(upstream.target) as front:

        def begin() -> Call:
            start: grpc.aio.StreamStreamMultiCallable[bytes, bytes]
            start = front.channel.stream_stream(ECHO)
            return start(metadata=(front.bearer(),), compression=grpc.Compression.Gzip)

        call = begin()
        await call.write(b"\0" * MIB)
        await call.done_writing()
        answer = await end_of(call)
        assert answer.messages == [b"\0" * MIB]

        call = begin()
        await call.write(b"\0" * (64 * MIB))  # 64 kB on the wire
        answer = await end_of(call)
        assert answer.code is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert [len(each) for one in upstream.conversations for each in one.received] == [MIB]


async def test_the_largest_token_passes_beside_other_metadata() -> None:
    options = (("grpc.absolute_max_metadata_size", 65536), ("grpc.max_metadata_size", 65536))
    async with (
        grpc_upstream(options=options) as upstream,
        running_grpc_front(upstream.target) as front,
    ):
        bearer = front.bearer(padding="x" * 5500)
        assert 7000 < len(bearer[1]) < 8192
        answer = await front.ask(b"x", metadata=[bearer, ("more", "y" * 16_000)])

        assert answer.messages == [b"x"]
        assert upstream.last.values("authorization") == [bearer[1]]
        assert upstream.last.values("more") == ["y" * 16_000]


async def test_generated_stubs_work_on_both_sides() -> None:
    """GRPC's own health check, which is unary, and watches by a stream."""
    health = HealthServicer()
    serving = health_pb2.HealthCheckResponse.SERVING
    await health.set("", serving)
    server = grpc.aio.server()
    health_pb2_grpc.add_HealthServicer_to_server(health, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    world = World(routes=(Route("health", "/grpc.health.v1.Health/**", frozenset({"POST"})),))
    async with running_grpc_front(f"127.0.0.1:{port}", world=world) as front:
        stub: Any = health_pb2_grpc.HealthStub(front.channel)
        request, metadata = health_pb2.HealthCheckRequest(), (front.bearer(),)

        assert (await stub.Check(request, metadata=metadata)).status == serving
        watch = stub.Watch(request, metadata=metadata)
        assert (await watch.read()).status == serving
        await health.set("", health_pb2.HealthCheckResponse.NOT_SERVING)
        assert (await watch.read()).status != serving
        watch.cancel()
    await server.stop(None)


async def test_clients_that_vanish_in_the_midst_leave_nothing_behind(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def flood(conversation: Conversation) -> None:
        while True:
            await conversation.say(b"x" * 10_000)

    async with grpc_upstream(flood) as upstream, running_grpc_front(upstream.target) as front:
        for number in range(30):
            channel = channel_to(front.proxy.url)
            begin: grpc.aio.StreamStreamMultiCallable[bytes, bytes] = channel.stream_stream(ECHO)
            call = begin(metadata=(front.bearer(),))
            for _ in range(number):
                await call.read()
            await channel.close()
        await until(lambda: front.handler.calls == 0)
        await until(lambda: all(each.ended.is_set() for each in upstream.conversations))

        assert in_flight(front) == 0
        assert {code for _, code, _ in front.world.observer.calls} == {"CANCELLED"}
        assert "could not be carried out" not in caplog.text
