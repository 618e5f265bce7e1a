"""Clients that read slowly, on a clock that passes by itself; and what the kernel knows of them."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
import uvloop
from typing_extensions import override

from sidecar.fronts.reverse_proxy.pace import BodyRate
from sidecar.fronts.reverse_proxy.reading import Reading, octets_taken
from tests.fakes.observer import RecordingObserver
from tests.fakes.tls import tls_ends
from tests.fakes.transport import FakeTransport
from tests.fakes.virtual_time import VirtualLoop
from tests.fakes.waiting import until

RATE = BodyRate(octets=100.0, grace=60.0)
LOOK = 6.0


@dataclass
class Client:
    """A client that has taken ``taken(seconds)`` octets so many seconds after its beginning."""

    taken: Callable[[float], int | None]
    observer: RecordingObserver = field(default_factory=RecordingObserver)
    transport: FakeTransport = field(default_factory=FakeTransport)

    def __post_init__(self) -> None:
        self._began = asyncio.get_running_loop().time()
        self.looks = 0
        self.reading = Reading(RATE, self.observer, self._look)

    def _look(self, _: asyncio.Transport) -> int | None:
        self.looks += 1
        return self.taken(self.age)

    @property
    def age(self) -> float:
        return asyncio.get_running_loop().time() - self._began

    @property
    def is_reset(self) -> bool:
        assert self.transport.done == ["abort"] * self.observer.slow_readers
        return bool(self.transport.done)

    async def end(self) -> float:
        """Return after how many seconds it is reset; fail after a day."""
        while not self.is_reset:
            assert self.age < 86_400
            await asyncio.sleep(0.5)
        return self.age


def in_no_time(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(test())


@pytest.mark.parametrize(
    "taken",
    [
        lambda _: 0,
        lambda age: int(99 * age),
        lambda age: 100_000 if age else 0,
        lambda age: 4_000 + int(50 * age) if age else 0,
        lambda _: None,
    ],
    ids=["nothing", "a trickle", "what was under way", "that and a trickle", "nobody can tell"],
)
def test_who_reads_too_slowly_is_reset_and_counted(taken: Callable[[float], int | None]) -> None:
    async def read() -> None:
        client = Client(taken)
        client.reading.begin(client.transport)
        assert RATE.grace <= await client.end() <= RATE.grace + LOOK + 0.5
        await asyncio.sleep(1000)
        assert client.observer.slow_readers == 1

    in_no_time(read)


def test_what_was_read_before_is_no_credit_for_later() -> None:
    async def read() -> None:
        client = Client(lambda age: int(10_000_000 * min(age, 300.0)))
        client.reading.begin(client.transport)
        assert 300.0 + RATE.grace - LOOK <= await client.end() <= 300.0 + RATE.grace + LOOK + 0.5

    in_no_time(read)


@pytest.mark.parametrize(
    "taken",
    [
        lambda age: int(120 * age),
        # A download that stands still for 50 seconds, and goes on for 10.
        lambda age: 10_000 * (age // 60) + 1_000 * max(0, age % 60 - 50),
    ],
    ids=["slowly", "with rests"],
)
def test_who_keeps_the_rate_may_take_hours(taken: Callable[[float], int]) -> None:
    async def read() -> None:
        client = Client(lambda age: int(taken(age)))
        client.reading.begin(client.transport)
        await asyncio.sleep(3 * 3600)
        assert not client.is_reset
        client.reading.stop()

    in_no_time(read)


def test_a_stream_with_nothing_to_say_is_not_looked_at() -> None:
    async def read() -> None:
        client = Client(lambda _: 0)
        client.reading.begin(client.transport)
        await asyncio.sleep(1.0)
        client.reading.end()
        await asyncio.sleep(10 * 3600)
        assert (client.is_reset, client.looks) == (False, 2)

    in_no_time(read)


def test_only_the_time_counts_in_which_something_waits() -> None:
    async def read() -> None:
        client = Client(lambda _: 0)
        for _ in range(5):
            client.reading.begin(client.transport)
            await asyncio.sleep(11.0)
            client.reading.end()
            await asyncio.sleep(1000.0)
            assert not client.is_reset
        client.reading.begin(client.transport)
        assert 5 * 1011.0 + 5.0 <= await client.end() <= 5 * 1011.0 + 5.0 + LOOK + 0.5

    in_no_time(read)


def test_writes_in_quick_succession_are_not_looked_at_one_by_one() -> None:
    async def read() -> None:
        client = Client(lambda age: int(1_000_000 * age))
        for _ in range(1000):
            client.reading.begin(client.transport)
            await asyncio.sleep(0.005)
            client.reading.end()
            await asyncio.sleep(0.005)
        assert client.looks <= 3
        assert not client.is_reset

    in_no_time(read)


def test_where_nobody_can_tell_it_is_enough_that_writing_goes_on() -> None:
    async def read() -> None:
        client = Client(lambda _: None)
        for _ in range(100):
            client.reading.begin(client.transport)
            await asyncio.sleep(50.0)
            client.reading.end()
        assert not client.is_reset
        client.reading.stop()

    in_no_time(read)


def test_who_has_gone_is_not_looked_at_any_more() -> None:
    async def read() -> None:
        client = Client(lambda _: 0)
        client.reading.begin(client.transport)
        client.reading.stop()
        await asyncio.sleep(1000.0)
        assert (client.is_reset, client.looks) == (False, 1)

    in_no_time(read)


@pytest.mark.parametrize("loop_factory", [asyncio.new_event_loop, uvloop.new_event_loop])
@pytest.mark.parametrize("encrypted", [False, True])
def test_the_kernel_counts_what_was_taken(
    loop_factory: Callable[[], asyncio.AbstractEventLoop], *, encrypted: bool
) -> None:
    async def talk() -> None:
        ours, theirs = tls_ends() if encrypted else (None, None)
        accepted: asyncio.Queue[asyncio.StreamWriter] = asyncio.Queue()
        server = await asyncio.start_server(
            lambda _, writer: accepted.put_nowait(writer), "localhost", 0, ssl=ours
        )
        async with server:
            port = server.sockets[0].getsockname()[1]
            reader, writer = await asyncio.open_connection("localhost", port, ssl=theirs)
            end = await accepted.get()
            transport = cast("asyncio.Transport", end.transport)
            before = octets_taken(transport) or 0
            assert encrypted == bool(before)
            end.write(bytes(5000))
            await reader.readexactly(5000)
            await until(lambda: (octets_taken(transport) or 0) >= before + 5000)
            assert (octets_taken(transport) or 0) < before + 6000
            writer.close()
            transport.abort()

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(talk())


class Foreign(FakeTransport):
    """On a system that tells less of a connection, or nothing."""

    def __init__(self, answer: Callable[[], bytes]) -> None:
        super().__init__()
        self._answer = answer

    @override
    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self

    def getsockopt(self, *_: int) -> bytes:
        return self._answer()


def closed() -> bytes:
    raise OSError("Bad file descriptor")


@pytest.mark.parametrize(
    "transport",
    [FakeTransport(), Foreign(closed), Foreign(lambda: bytes(104)), Foreign(lambda: bytes(128))],
    ids=["no socket", "closed", "an old kernel", "a kernel that does not count"],
)
def test_where_the_kernel_does_not_tell_nobody_guesses(transport: asyncio.Transport) -> None:
    assert octets_taken(transport) is None
