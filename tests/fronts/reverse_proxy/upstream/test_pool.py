"""The pool at its limits, at its end, and where nothing goes as planned."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable

import pytest
from typing_extensions import override

from sidecar.fronts.reverse_proxy.upstream import Upstream, UpstreamFailed, UpstreamPolicy
from sidecar.fronts.reverse_proxy.upstream.address import Address
from sidecar.fronts.reverse_proxy.upstream.carriage import Carriage
from sidecar.fronts.reverse_proxy.upstream.connection import Connection
from sidecar.fronts.reverse_proxy.upstream.pool import Pool
from sidecar.ports import UpstreamError
from tests.fakes.build import overrides
from tests.fakes.receiver import Books, RecordingReceiver
from tests.fakes.upstream import OK, Conversation, full_backlog, scripted_upstream
from tests.fakes.waiting import until

REQUEST = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
HOST = [(b"Host", b"a")]


def carriage() -> tuple[Carriage, RecordingReceiver]:
    receiver = RecordingReceiver()
    return Carriage("GET", REQUEST, receiver), receiver


async def hold(conversation: Conversation) -> None:
    await conversation.read_to_end()


def refusing() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


async def test_a_full_pool_closes_an_idle_connection_to_ask_another_address() -> None:
    async with (
        scripted_upstream() as one,
        scripted_upstream() as other,
        Upstream(UpstreamPolicy(one.url, more=(other.url,), max_connections=1)) as upstream,
    ):
        answer = await upstream.ask("GET", "/", [(b"Host", b"a")], None)
        answer.at_hand()
        upstream._addresses.reverse()
        again = await upstream.ask("GET", "/", [(b"Host", b"a")], None)

        assert again.status == 200
        assert (one.connections, other.connections) == (1, 1)


async def test_those_who_wait_are_served_in_their_order_and_those_who_left_are_skipped() -> None:
    async def talk(conversation: Conversation) -> None:
        await going.wait()
        await conversation.say(OK)

    going = asyncio.Event()
    async with (
        scripted_upstream(talk) as scripted,
        Pool(UpstreamPolicy(scripted.url, max_connections=1)) as pool,
    ):
        books = Books(pool)
        asked = [carriage() for _ in range(4)]
        for each, _ in asked:
            pool.carry(each)
        await until(lambda: scripted.conversations)
        assert (books.busy, books.waiting) == (1, 3)
        asked[1][0].abandon()
        going.set()
        for _, receiver in (asked[0], *asked[2:]):
            await asyncio.wait_for(receiver.told.wait(), 5)
            assert bytes(receiver.body) == b"ok"

        assert not asked[1][1].ends
        assert (len(scripted.conversations), scripted.connections) == (3, 1)
        assert books.are_clear


async def test_who_left_the_queue_is_swept_out_of_it() -> None:
    async with (
        scripted_upstream(hold) as scripted,
        Pool(UpstreamPolicy(scripted.url, max_connections=1, connect_timeout=0.1)) as pool,
    ):
        (first, _), (second, receiver) = carriage(), carriage()
        pool.carry(first)
        pool.carry(second)
        second.abandon()

        await until(lambda: not pool._waiting)
        assert not receiver.ends


async def test_a_connection_that_no_longer_waits_for_anybody_serves_the_next() -> None:
    """Whoever asked for it has gone; it was opened all the same."""
    async with scripted_upstream() as scripted, Pool(UpstreamPolicy(scripted.url)) as pool:
        books = Books(pool)
        gone, receiver = carriage()
        pool.carry(gone)
        gone.abandon()
        await until(lambda: books.idle == 1)
        assert books.are_clear
        assert not receiver.ends

        again, receiver = carriage()
        pool.carry(again)
        await asyncio.wait_for(receiver.told.wait(), 5)
        assert bytes(receiver.body) == b"ok"
        assert scripted.connections == 1


async def test_who_gives_up_while_connecting_hears_of_no_failure() -> None:
    with full_backlog() as url:
        async with Pool(UpstreamPolicy(url, connect_timeout=0.1)) as pool:
            gone, receiver = carriage()
            pool.carry(gone)
            gone.abandon()
            await until(lambda: Books(pool).are_clear)

            assert not receiver.ends


class Failing(Address):
    """An address to which nothing can be connected, in a way that nobody thought of."""

    @override
    async def connect(self, make: Callable[[], Connection]) -> Connection:
        await asyncio.sleep(0)
        raise RuntimeError("not foreseen")


@overrides
async def test_an_unforeseen_error_fails_one_request_and_lets_the_next_wait_no_longer(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with (
        scripted_upstream() as scripted,
        Pool(UpstreamPolicy(scripted.url, max_connections=1)) as pool,
    ):
        well = pool._addresses[0]
        pool._addresses[:] = [Failing(scripted.url, pool.policy)]
        failing, failed = carriage()
        gone, told_nothing = carriage()
        waiting, served = carriage()
        for each in (failing, gone, waiting):
            pool.carry(each)
        gone.abandon()
        pool._addresses.append(well)
        pool._addresses.reverse()
        await asyncio.wait_for(served.told.wait(), 5)

        assert failed.failure.error is UpstreamError.CONNECT
        assert "not foreseen" not in failed.failure.detail
        assert bytes(served.body) == b"ok"
        assert not told_nothing.ends
        assert Books(pool).are_clear
    assert "could not be made" in caplog.text


@overrides
async def test_an_unforeseen_error_after_its_asker_left_is_logged_alone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with Pool(UpstreamPolicy("http://127.0.0.1:9")) as pool:
        pool._addresses[:] = [Failing("http://127.0.0.1:9", pool.policy)]
        gone, receiver = carriage()
        pool.carry(gone)
        gone.abandon()
        await until(lambda: "could not be made" in caplog.text)

        assert not receiver.ends
        assert Books(pool).are_clear


@overrides
async def test_a_connection_that_is_closed_at_once_is_a_reset_for_who_waited_for_it() -> None:
    class Closing(Address):
        @override
        async def connect(self, make: Callable[[], Connection]) -> Connection:
            connection = await super().connect(make)
            connection.close()
            return connection

    async with scripted_upstream() as scripted, Pool(UpstreamPolicy(scripted.url)) as pool:
        pool._addresses[:] = [Closing(scripted.url, pool.policy)]
        asked, receiver = carriage()
        pool.carry(asked)
        await asyncio.wait_for(receiver.told.wait(), 5)

        assert receiver.failure.error is UpstreamError.RESET
        assert Books(pool).are_clear
        assert not Books(pool).idle


async def test_no_address_is_asked_twice_for_one_request() -> None:
    """Where one refuses at once and the other is silent, they would be asked in turns for ever."""
    with full_backlog() as silent:
        policy = UpstreamPolicy(refusing(), more=(silent,), connect_timeout=0.3)
        async with Pool(policy) as pool:
            asked, receiver = carriage()
            pool.carry(asked)
            await asyncio.wait_for(receiver.told.wait(), 10)

            assert receiver.failure.error is UpstreamError.CONNECT_TIMEOUT
            assert [address.breaker.is_closed for address in pool._addresses] == [False] * 2


async def test_an_idle_connection_that_has_died_is_passed_over() -> None:
    async with scripted_upstream() as scripted, Pool(UpstreamPolicy(scripted.url)) as pool:
        first, receiver = carriage()
        pool.carry(first)
        await asyncio.wait_for(receiver.told.wait(), 5)
        pool._addresses[0].idle[0].close()
        # In the same turn: nobody has heard yet that it is lost.
        second, receiver = carriage()
        pool.carry(second)
        await asyncio.wait_for(receiver.told.wait(), 5)

        assert bytes(receiver.body) == b"ok"
        assert scripted.connections == 2
        await until(lambda: Books(pool).idle == 1)


async def test_whoever_waits_when_the_pool_ends_is_told_so() -> None:
    """In the queue for a connection, while one is opened, and in a connection's first turn."""
    with full_backlog() as silent:
        async with Pool(UpstreamPolicy(silent, max_connections=2)) as pool:
            asked = [carriage() for _ in range(4)]
            for each, _ in asked[:1]:
                pool.carry(each)
            await asyncio.sleep(0)
            for each, _ in asked[1:]:
                pool.carry(each)
            asked[3][0].abandon()

    assert [receiver.failure.error for _, receiver in asked[:3]] == [UpstreamError.CONNECT] * 3
    assert not asked[3][1].ends
    assert not Books(pool).waiting


async def test_an_upload_that_waits_for_a_connection_does_not_hold_up_the_pools_end() -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b"part"

    with full_backlog() as silent:
        async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
            async with Upstream(UpstreamPolicy(silent)) as upstream:
                asking = tasks.create_task(_failure(upstream, body()))
                await until(lambda: Books(upstream).connecting)

            assert await asking is UpstreamError.CONNECT


async def test_an_upload_to_a_pool_that_has_ended_is_told_so() -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b"part"

    async with Upstream(UpstreamPolicy("http://127.0.0.1:9")) as upstream:
        pass

    assert await _failure(upstream, body()) is UpstreamError.CONNECT


async def _failure(upstream: Upstream, body: AsyncIterator[bytes]) -> UpstreamError:
    with pytest.raises(UpstreamFailed) as failed:
        await upstream.ask("POST", "/", HOST, body)
    return failed.value.error
