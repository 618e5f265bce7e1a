"""What is sent twice and what never is; deadlines, back-pressure, and requests given up."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
from typing_extensions import override

from sidecar.fronts.reverse_proxy.upstream import Upstream, UpstreamFailed, UpstreamPolicy
from sidecar.fronts.reverse_proxy.upstream.carriage import Carriage
from sidecar.fronts.reverse_proxy.upstream.pool import Pool
from sidecar.ports import UpstreamError
from tests.fakes.receiver import Books, RecordingReceiver
from tests.fakes.upstream import OK, Conversation, ScriptedUpstream, Talk, scripted_upstream
from tests.fakes.waiting import standing, until

REQUEST = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
BEGUN = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nbegun\r\n"
MUCH = 50_000_000  # more than any pair of sockets holds on its way


async def body() -> AsyncIterator[bytes]:
    yield b"part"


async def ask_on_a_connection_that_dies(
    method: str, pieces: AsyncIterator[bytes] | None, said: bytes = b""
) -> ScriptedUpstream:
    async def talk(conversation: Conversation) -> None:
        if len(scripted.conversations) == 2:
            await conversation.say(said)
            conversation.writer.close()
        else:
            await conversation.say(OK)

    async with (
        scripted_upstream(talk) as scripted,
        Upstream(UpstreamPolicy(scripted.url, first_byte_timeout=1)) as upstream,
        asyncio.timeout(5),
    ):
        (await upstream.ask("GET", "/", [(b"Host", b"a")], None)).at_hand()
        try:
            await upstream.ask(method, "/", [(b"Host", b"a")], pieces)
        except UpstreamFailed:
            return scripted
    return scripted


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE"])
async def test_what_may_happen_twice_is_asked_again_on_a_new_connection(method: str) -> None:
    scripted = await ask_on_a_connection_that_dies(method, None)

    assert (len(scripted.conversations), scripted.connections) == (3, 2)


async def test_a_post_is_never_sent_twice() -> None:
    assert len((await ask_on_a_connection_that_dies("POST", None)).conversations) == 2


async def test_after_one_octet_of_the_answer_nothing_is_sent_twice() -> None:
    assert len((await ask_on_a_connection_that_dies("GET", None, b"H")).conversations) == 2


async def test_a_body_that_was_streamed_is_gone_and_its_head_is_not_sent_alone() -> None:
    assert len((await ask_on_a_connection_that_dies("PUT", body())).conversations) == 2


async def test_what_was_sent_again_and_is_lost_again_is_a_failure() -> None:
    async def talk(conversation: Conversation) -> None:
        if len(scripted.conversations) == 1:
            await conversation.say(OK)
        else:
            conversation.abort()

    async with scripted_upstream(talk) as scripted, Pool(UpstreamPolicy(scripted.url)) as pool:
        first, second = RecordingReceiver(), RecordingReceiver()
        pool.carry(Carriage("GET", REQUEST, first))
        await asyncio.wait_for(first.told.wait(), 5)
        pool.carry(Carriage("GET", REQUEST, second))
        await asyncio.wait_for(second.told.wait(), 5)

        assert second.failure.error is UpstreamError.RESET
        assert len(scripted.conversations) == 3
        assert Books(pool).are_clear


async def silent(conversation: Conversation) -> None:
    await conversation.read_to_end()


async def half_a_head(conversation: Conversation) -> None:
    await conversation.say(b"HTTP/1.1 200 OK\r\nConte")
    await conversation.read_to_end()


async def interim_only(conversation: Conversation) -> None:
    await conversation.say(b"HTTP/1.1 102 Processing\r\n\r\n")
    await conversation.read_to_end()


async def part_of_a_body(conversation: Conversation) -> None:
    await conversation.say(BEGUN)
    await conversation.read_to_end()


@pytest.mark.parametrize(
    ("talk", "expected"),
    [
        (silent, UpstreamError.FIRST_BYTE_TIMEOUT),
        (half_a_head, UpstreamError.FIRST_BYTE_TIMEOUT),
        (interim_only, UpstreamError.FIRST_BYTE_TIMEOUT),
        (part_of_a_body, UpstreamError.IDLE_TIMEOUT),
    ],
)
async def test_each_stage_of_an_answer_has_its_deadline(
    talk: Talk, expected: UpstreamError
) -> None:
    async with scripted_upstream(talk) as scripted:
        policy = UpstreamPolicy(scripted.url, first_byte_timeout=0.2, idle_timeout=0.2)
        async with Pool(policy) as pool:
            receiver = RecordingReceiver()
            pool.carry(Carriage("GET", REQUEST, receiver))
            await asyncio.wait_for(receiver.told.wait(), 5)

            assert receiver.failure.error is expected
            await asyncio.wait_for(scripted.last.ended.wait(), 5)
            assert Books(pool).are_clear


def started(carriage: Carriage, _: RecordingReceiver, scripted: ScriptedUpstream) -> bool:
    return carriage.connection is not None and bool(scripted.conversations)


def come_in_part(carriage: Carriage, _: RecordingReceiver, __: ScriptedUpstream) -> bool:
    return carriage.connection is not None and carriage.connection._reader.has_begun


def come_with_body(_: Carriage, receiver: RecordingReceiver, __: ScriptedUpstream) -> bool:
    return bool(receiver.body)


@pytest.mark.parametrize(
    ("talk", "stage"),
    [
        (silent, started),
        (half_a_head, come_in_part),
        (interim_only, come_in_part),
        (part_of_a_body, come_with_body),
    ],
)
@pytest.mark.parametrize("is_whole", [True, False])
async def test_a_request_that_is_given_up_leaves_nothing_at_any_stage(
    *, talk: Talk, stage: Callable[..., bool], is_whole: bool
) -> None:
    async with (
        scripted_upstream(talk) as scripted,
        Pool(UpstreamPolicy(scripted.url, max_connections=1)) as pool,
    ):
        receiver = RecordingReceiver()
        carriage = Carriage("GET", REQUEST, receiver, is_whole=is_whole)
        pool.carry(carriage)
        await until(lambda: stage(carriage, receiver, scripted))
        carriage.abandon()
        carriage.abandon()

        assert Books(pool).are_clear
        assert not Books(pool).idle
        await asyncio.wait_for(scripted.last.ended.wait(), 5)
        assert not receiver.ends


async def test_a_request_that_is_over_can_be_spoken_to_no_more() -> None:
    """Its connection may carry somebody else's by now."""
    async with scripted_upstream() as scripted, Pool(UpstreamPolicy(scripted.url)) as pool:
        receiver = RecordingReceiver()
        carriage = Carriage("GET", REQUEST, receiver)
        pool.carry(carriage)
        await asyncio.wait_for(receiver.told.wait(), 5)
        (connection,) = pool._addresses[0].idle
        before = connection.deadline

        carriage.write(b"GET /smuggled HTTP/1.1\r\n\r\n")
        carriage.pause()
        carriage.resume()
        carriage.be_patient()
        carriage.finish()
        carriage.abandon()

        assert not carriage.can_write
        assert connection.deadline == before
        assert connection.is_usable
        again = RecordingReceiver()
        pool.carry(Carriage("GET", REQUEST, again))
        await asyncio.wait_for(again.told.wait(), 5)
        assert [each.request_line for each in scripted.conversations] == ["GET / HTTP/1.1"] * 2


async def test_a_receiver_may_give_up_while_it_is_told() -> None:
    """In the midst of one read, whose rest must go nowhere."""

    class Fastidious(RecordingReceiver):
        @override
        def continued(self, data: bytes) -> None:
            super().continued(data)
            carriage.abandon()

    async def talk(conversation: Conversation) -> None:
        await conversation.say(OK)

    async with scripted_upstream(talk) as scripted, Pool(UpstreamPolicy(scripted.url)) as pool:
        receiver = Fastidious()
        carriage = Carriage("GET", REQUEST, receiver)
        pool.carry(carriage)
        await until(lambda: receiver.body)
        await asyncio.wait_for(scripted.last.ended.wait(), 5)

        assert not receiver.ends
        assert Books(pool).are_clear
        assert not Books(pool).idle


@pytest.mark.parametrize("is_whole", [True, False])
async def test_the_clock_stands_while_the_receiver_does_not_read(*, is_whole: bool) -> None:
    """It is not upstream that is slow then; and it runs again once it reads on."""
    async with scripted_upstream(silent) as scripted:
        policy = UpstreamPolicy(scripted.url, first_byte_timeout=0.1, idle_timeout=0.1)
        async with Pool(policy) as pool:
            receiver = RecordingReceiver()
            carriage = Carriage("GET", REQUEST, receiver, is_whole=is_whole)
            pool.carry(carriage)
            await until(lambda: started(carriage, receiver, scripted))
            carriage.pause()
            carriage.pause()
            await asyncio.sleep(0.4)
            assert not receiver.ends

            carriage.resume()
            carriage.resume()
            if not is_whole:
                await asyncio.sleep(0.2)
                assert not receiver.ends  # the request is still to be written
                carriage.finish()
            await asyncio.wait_for(receiver.told.wait(), 5)
            assert receiver.failure.error is UpstreamError.FIRST_BYTE_TIMEOUT


async def test_who_reads_no_more_stops_upstream_and_gets_the_rest_later() -> None:
    written = 0

    async def talk(conversation: Conversation) -> None:
        nonlocal written
        await conversation.say(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % MUCH)
        while written < MUCH:
            await conversation.say(bytes(100_000))
            written += 100_000

    async with scripted_upstream(talk) as scripted, Pool(UpstreamPolicy(scripted.url)) as pool:
        receiver = RecordingReceiver()
        carriage = Carriage("GET", REQUEST, receiver)
        pool.carry(carriage)
        await until(lambda: receiver.body)
        carriage.pause()
        came = len(receiver.body)
        await standing(lambda: written)
        assert len(receiver.body) == came
        assert written < MUCH

        carriage.resume()
        await asyncio.wait_for(receiver.told.wait(), 20)
        assert len(receiver.body) == MUCH
        assert Books(pool).idle == 1


async def test_an_upstream_that_reads_no_more_is_not_written_to_until_it_does() -> None:
    async def talk(conversation: Conversation) -> None:
        await going.wait()
        await conversation.read(size)
        await conversation.say(OK)

    size = 0
    going = asyncio.Event()
    async with scripted_upstream(talk) as scripted, Pool(UpstreamPolicy(scripted.url)) as pool:
        receiver = RecordingReceiver()
        carriage = Carriage("PUT", REQUEST, receiver, is_whole=False)
        pool.carry(carriage)
        await until(lambda: carriage.can_write)
        turns = receiver.turns
        while carriage.can_write:
            carriage.write(bytes(1_000_000))
            size += 1_000_000
            assert size < MUCH
        assert receiver.turns == turns
        going.set()
        await until(lambda: receiver.turns > turns)
        assert carriage.can_write
        carriage.finish()
        await asyncio.wait_for(receiver.told.wait(), 10)

        assert bytes(receiver.body) == b"ok"
        assert Books(pool).idle == 1


async def test_an_answer_to_a_request_that_upstream_has_not_read_ends_its_connection() -> None:
    """RFC 9112, 9.6: the next request would wait behind what nobody may ever read."""

    async def talk(conversation: Conversation) -> None:
        await conversation.say(OK)
        await until(lambda: receiver.ends)

    async with scripted_upstream(talk) as scripted, Pool(UpstreamPolicy(scripted.url)) as pool:
        receiver = RecordingReceiver()
        pool.carry(Carriage("PUT", REQUEST + bytes(MUCH), receiver))
        await asyncio.wait_for(receiver.told.wait(), 10)

        assert bytes(receiver.body) == b"ok"
        assert Books(pool).are_clear
        assert not Books(pool).idle


async def test_a_request_that_is_given_up_unread_leaves_nothing() -> None:
    async with (
        scripted_upstream(part_of_a_body) as scripted,
        Pool(UpstreamPolicy(scripted.url)) as pool,
    ):
        receiver = RecordingReceiver()
        carriage = Carriage("GET", REQUEST, receiver)
        pool.carry(carriage)
        await until(lambda: receiver.body)
        carriage.pause()
        carriage.abandon()
        await asyncio.wait_for(scripted.last.ended.wait(), 5)

        assert not receiver.ends
        assert Books(pool).are_clear


async def test_what_nobody_asked_for_ends_a_connection_that_is_kept() -> None:
    async def talk(conversation: Conversation) -> None:
        await conversation.say(OK)
        await late.wait()
        await conversation.say(OK)

    late = asyncio.Event()
    async with scripted_upstream(talk) as scripted, Pool(UpstreamPolicy(scripted.url)) as pool:
        receiver = RecordingReceiver()
        pool.carry(Carriage("GET", REQUEST, receiver))
        await asyncio.wait_for(receiver.told.wait(), 5)
        assert Books(pool).idle == 1
        late.set()

        await until(lambda: not Books(pool).idle)
        assert bytes(receiver.body) == b"ok"


async def test_a_tunnel_has_no_deadline() -> None:
    async def talk(conversation: Conversation) -> None:
        await conversation.say(
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n"
        )
        await spoken.wait()
        await conversation.say(b"raw")

    spoken = asyncio.Event()
    async with scripted_upstream(talk) as scripted:
        policy = UpstreamPolicy(scripted.url, first_byte_timeout=0.1, idle_timeout=0.1)
        async with Pool(policy) as pool:
            receiver = RecordingReceiver()
            carriage = Carriage("GET", REQUEST, receiver, upgrade=True)
            pool.carry(carriage)
            await until(lambda: receiver.heads)
            carriage.be_patient()
            await asyncio.sleep(0.3)
            spoken.set()
            await until(lambda: receiver.body)
            carriage.pause()
            carriage.resume()
            await asyncio.sleep(0.3)

            assert not receiver.ends
            carriage.abandon()
            assert Books(pool).are_clear


async def test_little_is_read_at_a_time_of_an_answer_until_much_of_it_was_taken() -> None:
    """What one read brings has to be kept for a client that does not read."""
    text = bytes(4_000_000)

    async def talk(conversation: Conversation) -> None:
        await conversation.say(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(text) + text)

    async with (
        scripted_upstream(talk) as scripted,
        Upstream(UpstreamPolicy(scripted.url)) as upstream,
        asyncio.timeout(10),
    ):
        for _ in range(2):  # of the second as of the first, on the same connection
            answer = await upstream.ask("GET", "/", [(b"Host", b"a")], None)
            (connection,) = upstream._addresses[0].busy
            rooms = [(0, len(connection.get_buffer(-1)))]
            while piece := await answer.more():
                rooms.append((rooms[-1][0] + len(piece), len(connection.get_buffer(-1))))
            answer.close()
            assert {room for came, room in rooms if came < 400_000} == {24 * 1024}
            assert {room for came, room in rooms[:-1] if came > 3_000_000} == {256 * 1024}
    assert scripted.connections == 1
