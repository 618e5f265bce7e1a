"""Random pipelines through one connection: each request gets its own answer, in order, or none.

A seed that fails is in the test's name.
"""

import asyncio
import io
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from http.client import HTTPResponse, IncompleteRead
from random import Random
from typing import Any, cast

import pytest
from typing_extensions import override

from tests.fakes.front import Front, read_all, running_front
from tests.fakes.pipelines import (
    TUNNELLED,
    AnsweringUpstream,
    Heard,
    Request,
    checksum,
    make_random,
    pipeline,
)
from tests.fakes.receiver import Books
from tests.fakes.stages import tasks_of_ours
from tests.fakes.upstream import scripted_upstream
from tests.fakes.waiting import until
from tests.fakes.world import World

SEEDS = range(40)


class _Octets(io.BytesIO):
    """What came, as the socket that ``http.client`` reads from: it outlives each answer."""

    def makefile(self, _mode: str) -> "_Octets":
        return self

    @override
    def close(self) -> None:
        pass


async def _send(writer: asyncio.StreamWriter, octets: bytes, random: Random) -> None:
    """Send in random pieces; what the other end no longer reads is nobody's loss."""
    cuts = sorted(random.randrange(len(octets) + 1) for _ in range(random.choice((0, 1, 5, 30))))
    try:
        for first, last in zip([0, *cuts], [*cuts, len(octets)], strict=True):
            writer.write(octets[first:last])
            await writer.drain()
            await asyncio.sleep(random.choice((0, 0, 0, 0.001)))
    except ConnectionError:
        pass


async def converse(
    front: Front,
    requests: list[Request],
    random: Random,
    disturb: Callable[[asyncio.StreamWriter], None] | None = None,
) -> bytes:
    """Send a pipeline and return all that comes back; ``disturb`` is called somewhere between."""
    octets = b"".join(each.octets(front.bearer()) for each in requests)
    reader, writer = await asyncio.open_connection(*front.address)
    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        tasks.create_task(_send(writer, octets, random))
        if disturb is not None:
            for _ in range(random.choice((0, 1, 5, 10, 20, 40, 80))):
                await asyncio.sleep(0)
            disturb(writer)
        came = await read_all(reader)
        writer.close()
    return came


def check_answers(
    requests: list[Request], came: bytes, *, is_cut: bool = False, may_be_lost: bool = False
) -> int:
    """Check each answer against its request; return how many requests were answered.

    The last may be a refusal or break off where one was cut.
    """
    stream = _Octets(came)
    closed = False
    for answered, request in enumerate(requests):
        if stream.tell() == len(came):
            assert closed or is_cut, f"nothing says why {request} was not answered"
            return answered
        assert not closed, "an answer after the last one"
        response = HTTPResponse(cast("Any", stream), method=request.method)
        response.begin()
        closed = "close" in (response.getheader("Connection") or "")
        if may_be_lost and response.status == 502:
            assert closed
            assert not request.is_repeatable
            response.read()
            continue
        try:
            _check_answer(request, response, stream, is_cut=is_cut)
        except IncompleteRead:
            if not is_cut:
                raise
            return answered
    assert stream.tell() == len(came), "an answer to nothing"
    return len(requests)


def _check_answer(
    request: Request, response: HTTPResponse, stream: _Octets, *, is_cut: bool
) -> None:
    if request.switches and response.status == 101:
        tunnelled = stream.read()
        assert tunnelled == TUNNELLED or is_cut
        return
    body = response.read()
    if request.refused or (is_cut and response.status == 401):
        assert response.status == 401
        assert response.getheader("X-Number") is None
        return
    assert request.answer is not None
    assert (response.status, response.getheader("X-Number")) == (
        request.answer.status, str(request.number),
    )  # fmt: skip
    expected = b"" if request.method == "HEAD" else request.answer.body
    assert checksum(body) == checksum(expected)


def check_order(requests: list[Request], heard: list[Heard]) -> None:
    """Check that upstream heard the first of what was granted, once each and in order."""
    granted = [each.number for each in requests if not each.refused]
    assert [each.number for each in heard] == granted[: len(heard)]


def check_heard(requests: list[Request], answered: int, heard: list[Heard]) -> None:
    """Check what upstream heard: what was granted and answered, once each, in order, unchanged."""
    granted = [each for each in requests[:answered] if not each.refused]
    assert [each.number for each in heard] == [each.number for each in granted]
    for request, got in zip(granted, heard, strict=True):
        assert got.line == f"{request.method} {request.target} HTTP/1.1"
        if got.is_whole:
            assert checksum(got.body) == checksum(request.body)
        else:
            assert request.answer is not None
            assert request.answer.early
            assert request.body.startswith(got.body)


@asynccontextmanager
async def pipelined(
    seed: int, drops: float = 0.0
) -> AsyncIterator[tuple[Front, list[Request], AnsweringUpstream]]:
    """Yield what a seed gives; at the end nothing may be left of it."""
    random = make_random(seed)
    requests = pipeline(random)
    upstream = AnsweringUpstream(requests, random, drops)
    world = World()
    world.enroll("robot", "admin")
    async with (
        scripted_upstream(upstream.talk) as scripted,
        running_front(scripted.url, world=world) as front,
    ):
        yield front, requests, upstream
        await until(
            lambda: (
                not front.proxy._server.connections
                and not tasks_of_ours()
                and Books(front.parts.upstream).are_clear
            )
        )
        assert not front.streams._by_subject
        assert not any(world.observer.in_flight_now.values())
        assert drops or not world.observer.upstream_failures


@pytest.mark.parametrize("seed", SEEDS)
async def test_each_request_of_a_random_pipeline_gets_its_own_answer(seed: int) -> None:
    async with pipelined(seed) as (front, requests, upstream):
        came = await converse(front, requests, make_random(seed))
    answered = check_answers(requests, came)
    check_heard(requests, answered, upstream.heard)


@pytest.mark.parametrize("seed", SEEDS)
async def test_who_leaves_a_random_pipeline_anywhere_leaves_nothing(seed: int) -> None:
    def leave(writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()

    async with pipelined(seed) as (front, requests, upstream):
        await converse(front, requests, make_random(seed), leave)
    check_order(requests, upstream.heard)


@pytest.mark.parametrize("seed", SEEDS)
async def test_a_cut_ends_a_random_pipeline_and_gives_nobody_anothers_answer(seed: int) -> None:
    async with pipelined(seed) as (front, requests, upstream):

        def cut(_: asyncio.StreamWriter) -> None:
            cuts.append(front.cut())

        cuts: list[int] = []
        came = await converse(front, requests, make_random(seed), cut)
    check_order(requests, upstream.heard)
    check_answers(requests, came, is_cut=bool(cuts[0]))


@pytest.mark.parametrize("seed", SEEDS)
async def test_an_upstream_that_drops_kept_connections_loses_no_order(seed: int) -> None:
    """What may not be sent twice is then a 502, and the last of its connection."""
    async with pipelined(seed, drops=0.4) as (front, requests, upstream):
        came = await converse(front, requests, make_random(seed))
    answered = check_answers(requests, came, may_be_lost=True)
    lost = [each for each, *_ in front.world.observer.upstream_failures]
    assert len(lost) <= 1
    check_heard(requests, answered - len(lost), upstream.heard)
