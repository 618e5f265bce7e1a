"""A grant that is carried out by callbacks: pieces, cuts, and clients that do not read."""

import asyncio

import pytest

from sidecar.fronts.reverse_proxy.upstream import UpstreamPolicy
from sidecar.ports import CutReason, UpstreamError
from tests.fakes.front import read_all, running_front, status_of
from tests.fakes.upstream import Conversation, scripted_upstream
from tests.fakes.waiting import until


async def test_pieces_go_on_as_they_come() -> None:
    async def talk(conversation: Conversation) -> None:
        await conversation.say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for number in range(3):
            await going.acquire()
            await conversation.say(b"1\r\n%d\r\n" % number)
        await going.acquire()
        await conversation.say(b"0\r\n\r\n")

    going = asyncio.Semaphore(0)
    async with scripted_upstream(talk) as upstream, running_front(upstream.url) as front:
        reader, writer = await asyncio.open_connection(*front.address)
        writer.write(front.request())
        head = await reader.readuntil(b"\r\n\r\n")
        assert b"Transfer-Encoding: chunked" in head
        for number in range(3):
            going.release()
            assert await reader.readexactly(6) == b"1\r\n%d\r\n" % number
        going.release()
        assert await reader.readexactly(5) == b"0\r\n\r\n"
        writer.close()


@pytest.mark.parametrize(
    ("reason", "status"), [(CutReason.REVOKED, 401), (CutReason.STATUS_UNAVAILABLE, 503)]
)
async def test_a_cut_before_the_answer_is_an_answer_and_upstream_is_left(
    reason: CutReason, status: int
) -> None:
    async def talk(conversation: Conversation) -> None:
        await conversation.read_to_end()

    async with scripted_upstream(talk) as upstream, running_front(upstream.url) as front:
        reader, writer = await asyncio.open_connection(*front.address)
        writer.write(front.request())
        await until(lambda: upstream.conversations)
        assert front.cut(reason) == 1
        response = await read_all(reader)
        writer.close()
        await asyncio.wait_for(upstream.last.ended.wait(), 5)

    assert status_of(response) == status
    assert b"Connection: close" in response
    assert not any(front.world.observer.in_flight_now.values())


async def test_a_cut_hits_nobody_elses_answer() -> None:
    """The stream is off the books before the connection carries the next request."""
    async with scripted_upstream() as upstream, running_front(upstream.url) as front:
        reader, writer = await asyncio.open_connection(*front.address)
        writer.write(front.request())
        await reader.readuntil(b"\r\n\r\nok")
        assert front.cut() == 0
        writer.write(front.request())
        assert status_of(await reader.readuntil(b"\r\n\r\nok")) == 200
        writer.close()


async def test_a_cut_while_a_connection_is_waited_for_sends_nothing() -> None:
    async def talk(conversation: Conversation) -> None:
        await conversation.read_to_end()

    policy = UpstreamPolicy("", max_connections=1)
    async with (
        scripted_upstream(talk) as upstream,
        running_front(upstream.url, policy=policy) as front,
    ):
        _, first = await asyncio.open_connection(*front.address)
        first.write(front.request())
        await until(lambda: upstream.conversations)
        reader, second = await asyncio.open_connection(*front.address)
        second.write(front.request())
        await until(lambda: len(front.world.observer.decisions) == 2)
        front.cut()

        assert status_of(await read_all(reader)) == 401
        first.close()
        second.close()
    assert len(upstream.conversations) == 1


async def test_a_client_that_reads_nothing_is_given_up_and_upstream_too() -> None:
    async def talk(conversation: Conversation) -> None:
        await conversation.say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while not conversation.writer.is_closing():
            await conversation.say(b"10000\r\n" + bytes(0x10000) + b"\r\n")

    async with (
        scripted_upstream(talk) as upstream,
        running_front(upstream.url, idle_seconds=0.3) as front,
    ):
        _, writer = await asyncio.open_connection(*front.address, limit=1024)
        writer.write(front.request())
        await asyncio.wait_for(_ended(upstream.conversations), 10)
        await until(lambda: front.world.observer.answers)
        writer.close()

    assert not any(front.world.observer.in_flight_now.values())


async def _ended(conversations: list[Conversation]) -> None:
    await until(lambda: conversations)
    await conversations[-1].ended.wait()


async def test_an_answer_that_breaks_off_is_no_answers_end() -> None:
    async def talk(conversation: Conversation) -> None:
        await conversation.say(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\npart")
        await until(lambda: front.world.observer.decisions)
        conversation.writer.close()

    async with scripted_upstream(talk) as upstream, running_front(upstream.url) as front:
        response = await front.send(front.request())

        assert response.endswith(b"part")
        failed = [error for _, error in front.world.observer.upstream_failures]
        assert failed == [UpstreamError.RESET]


async def test_a_head_that_would_split_ours_is_a_bad_gateway() -> None:
    async def talk(conversation: Conversation) -> None:
        await conversation.say(b"HTTP/1.1 200 OK\r\nA: b\x0bc\r\nContent-Length: 0\r\n\r\n")

    async with scripted_upstream(talk) as upstream, running_front(upstream.url) as front:
        assert status_of(await front.send(front.request())) == 502
