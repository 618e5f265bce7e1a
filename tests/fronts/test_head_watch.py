"""The time that a head may take, on a clock that passes by itself."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http import HttpRequestParser
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.fronts.head_watch import HeadWatch, begins_another
from tests.fakes.virtual_time import VirtualLoop


def test_octets_that_trickle_in_do_not_extend_it() -> None:
    late: list[float] = []

    async def trickle() -> None:
        loop = asyncio.get_running_loop()
        watch, began = HeadWatch(10.0), loop.time()
        for _ in range(30):
            watch.begin(lambda: late.append(loop.time() - began))
            await asyncio.sleep(0.5)

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(trickle())

    assert late == [10.0]


def test_a_head_that_has_come_has_no_deadline_and_the_next_a_new_one() -> None:
    late: list[float] = []

    async def heads() -> None:
        loop = asyncio.get_running_loop()
        watch, began = HeadWatch(10.0), loop.time()
        watch.begin(lambda: late.append(0.0))
        await asyncio.sleep(9.0)
        watch.end()
        await asyncio.sleep(9.0)
        watch.begin(lambda: late.append(loop.time() - began))
        await asyncio.sleep(20.0)
        watch.end()

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(heads())

    assert late == [28.0]


GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n"


def sized(body: bytes) -> bytes:
    return b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


def messages(body: st.SearchStrategy[bytes]) -> st.SearchStrategy[list[bytes]]:
    message = st.one_of(st.just(GET), st.just(CHUNKED), body.map(sized))
    return st.lists(message, min_size=1, max_size=4)


BODIES = st.binary(max_size=30)
# One that looks like the end of a head, in the right place, hides what comes behind it.
PLAIN_BODIES = BODIES.filter(lambda body: b"\r" not in body)


@contextmanager
def parser() -> Iterator[HttpRequestParser]:
    loop = asyncio.new_event_loop()
    try:
        yield HttpRequestParser(BaseProtocol(loop), loop, 2**16)
    finally:
        loop.close()


@settings(deadline=None)
@given(messages(BODIES), st.data())
def test_whole_messages_never_look_like_half_a_head_wherever_they_are_cut(
    sent: list[bytes], data: st.DataObject
) -> None:
    octets = b"".join(sent)
    cut = data.draw(st.integers(0, len(octets) - 1))
    with parser() as reading:
        reading.feed_data(octets[:cut])
        found, _, _ = reading.feed_data(octets[cut:])

        assert not (found and begins_another(octets[cut:], *found[-1]))


@settings(deadline=None)
@given(messages(PLAIN_BODIES), st.integers(1, len(GET) - 1))
def test_half_a_head_behind_whole_messages_is_seen(sent: list[bytes], half: int) -> None:
    octets = b"".join(sent) + GET[:half]
    with parser() as reading:
        found, _, _ = reading.feed_data(octets)

        assert begins_another(octets, *found[-1])


@pytest.mark.parametrize(
    "octets",
    [
        GET.replace(b"Host", b"Connection: Upgrade\r\nUpgrade: websocket\r\nHost") + b"\x81\x00",
        sized(b"abc")[:-1],
    ],
    ids=["another protocol's", "a body that has not ended"],
)
def test_what_belongs_to_the_message_is_no_head(octets: bytes) -> None:
    with parser() as reading:
        found, _, _ = reading.feed_data(octets)

        assert not begins_another(octets, *found[-1])
