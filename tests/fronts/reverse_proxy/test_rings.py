"""What a request leaves behind is freed when it ends, not at the next full garbage collection.

Those are made to be seldom (they stand the event loop still), so objects that hold each other in a
ring would add up to hundreds of megabytes where connections come and go: found by a soak of half an
hour.
"""

import asyncio
import gc
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.fakes.front import read_all, running_front, status_of
from tests.fakes.stages import STAGES, Situation, Stage, at
from tests.fakes.upstream import OK, Conversation, scripted_upstream
from tests.fakes.waiting import until


@contextmanager
def nothing_left_in_rings() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        left = Counter(
            type(each).__qualname__
            for each in gc.garbage
            if type(each).__module__.startswith("sidecar.")
        )
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
    assert left == {}


def leave(now: Situation) -> None:
    now.reset()


def cut(now: Situation) -> None:
    now.front.cut()


# In mid-upload aiohttp's own stream and the connection hold each other, and in a tunnel that is
# left the tracebacks of its tasks do: these wait for a collection.
OF_AIOHTTP = ("upload", "chunks", "tunnel")
OWN_STAGES = [each for each in STAGES if not any(word in each.name for word in OF_AIOHTTP)]


@pytest.mark.parametrize("end", [leave, cut])
@pytest.mark.parametrize("stage", OWN_STAGES, ids=lambda stage: stage.name)
async def test_a_request_that_is_ended_at_any_stage_leaves_no_ring(
    stage: Stage, end: Callable[[Situation], None]
) -> None:
    async with at(stage) as now:
        with nothing_left_in_rings():
            end(now)
            await asyncio.wait_for(read_all(now.reader), 5)
            now.writer.close()
            now.dismiss_other()
            await until(lambda: now.is_clear)
            await until(lambda: not now.front.proxy._server.connections)
            for each in now.upstream.conversations:
                await asyncio.wait_for(each.ended.wait(), 5)


CHUNKS = b"5\r\nhello\r\n0\r\n\r\n"


@pytest.mark.parametrize(
    ("line", "fields", "body"),
    [
        ("GET /reports HTTP/1.1", (), b""),
        ("POST /jobs HTTP/1.1", (b"Content-Length: 5",), b"hello"),
        ("POST /jobs HTTP/1.1", (b"Transfer-Encoding: chunked",), CHUNKS),
        ("POST /jobs HTTP/1.1", (b"Content-Length: 5", b"Expect: 100-continue"), b"hello"),
        ("GET /nowhere HTTP/1.1", (), b""),
        ("GET /reports HTTP/1.1", (b"Authorization: Bearer a.b.c",), b""),
    ],
)
@pytest.mark.parametrize("breaks", [False, True])
async def test_a_request_that_is_answered_leaves_no_ring(
    line: str, fields: tuple[bytes, ...], body: bytes, *, breaks: bool
) -> None:
    async def upstream(conversation: Conversation) -> None:
        if breaks:
            conversation.abort()
        else:
            await conversation.say(OK)

    async with scripted_upstream(upstream) as found, running_front(found.url) as front:
        await front.ask()
        with nothing_left_in_rings():
            answers = [await front.ask(line, *fields, body=body) for _ in range(3)]
            await until(lambda: not front.proxy._server.connections)
            for each in found.conversations:
                await asyncio.wait_for(each.ended.wait(), 5)

        assert status_of(answers[-1].removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n")) >= 200
