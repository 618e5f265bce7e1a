"""The forward-auth door's listener: errors before a question, and an end in good order."""

import asyncio
import logging

import pytest
from aiohttp.web_protocol import RequestHandler

from sidecar.core.decision import Deny, DenyReason
from sidecar.core.dialect import Dialect
from sidecar.core.request import AccessRequest
from tests.fakes.doors import Asked, ForwardAuthDoor, fields_of, forward_auth_door, question_of
from tests.fakes.front import status_of
from tests.fakes.waiting import until
from tests.fakes.world import World

HEALTH = b"GET /auth/health HTTP/1.1\r\nHost: a\r\n\r\n"


async def connect(door: ForwardAuthDoor) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, _, port = door.door.url.removeprefix("http://").rpartition(":")
    return await asyncio.open_connection(host, int(port))


def test_the_private_names_of_aiohttp_that_are_used_are_there() -> None:
    slots = {name for kind in RequestHandler.__mro__ for name in getattr(kind, "__slots__", ())}

    assert {"_messages", "_waiter"} <= slots


@pytest.mark.parametrize(
    "octets",
    [b"nonsense\r\n\r\n", b"GET /auth/x HTTP/1.1\r\nHost: a\r\nA: " + b"x" * 20000 + b"\r\n\r\n"],
)
async def test_what_is_no_request_is_refused_in_our_words(octets: bytes) -> None:
    world = World()
    async with forward_auth_door(Dialect.ENVOY, world) as door:
        response = await door.send(octets)

    decision = world.observer.decisions[0][1]
    assert status_of(response) == 400
    assert b'"error":"invalid_request"' in response
    assert isinstance(decision, Deny)
    assert decision.reason is DenyReason.MALFORMED_REQUEST


@pytest.mark.parametrize("version", ["2.0", "0.9"])
async def test_no_version_that_is_not_spoken_is_confirmed(version: str) -> None:
    """RFC 9112, 2.3. aiohttp answers in the version in which it was asked."""
    async with forward_auth_door(Dialect.ENVOY, World()) as door:
        answer = await door.send(HEALTH.replace(b"HTTP/1.1", f"HTTP/{version}".encode()))

    assert answer.startswith(b"HTTP/1.1 400 ")


async def test_a_question_that_trickles_in_is_ended_and_told_so() -> None:
    world = World()
    async with forward_auth_door(Dialect.ENVOY, world, head_timeout=0.2) as door:
        reader, writer = await connect(door)
        writer.write(HEALTH)
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"GET /auth/hea")
        answer = await asyncio.wait_for(reader.read(), 5)
        writer.close()

    assert status_of(answer) == 408
    assert b'"error":"request_timeout"' in answer
    assert isinstance(decision := world.observer.decisions[-1][1], Deny)
    assert decision.reason is DenyReason.TOO_SLOW


async def test_a_defect_of_ours_is_a_500_that_says_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Broken:
        def authorize_now(self, request: AccessRequest) -> None:
            raise RuntimeError(request.path)

    world = World()
    world.authorizer = Broken()  # type: ignore[assignment]
    with caplog.at_level(logging.CRITICAL):
        async with forward_auth_door(Dialect.TRAEFIK, world) as door:
            response = await door.send(question_of(Dialect.TRAEFIK, Asked("GET", "/health")))

    assert status_of(response) == 500
    assert b"RuntimeError" not in response
    assert b"health" not in response


async def test_one_connection_carries_many_questions_each_judged_by_itself() -> None:
    world = World()
    async with forward_auth_door(Dialect.ENVOY, world) as door:
        token = world.sign().encode()
        good = b"GET /auth/reports HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer " + token
        bad = b"GET /auth/reports HTTP/1.1\r\nHost: a"
        end = b"\r\n\r\n"
        last = b"GET /auth/health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        response = await door.send(good + end + bad + end + good + end + last)

    assert [int(part[:3]) for part in response.split(b"HTTP/1.1 ")[1:]] == [200, 401, 200, 200]


async def test_a_door_that_is_dismissed_answers_and_ends_each_connection() -> None:
    async with forward_auth_door(Dialect.ENVOY, World()) as door:
        door.door.dismiss()
        response = await door.send(HEALTH)

    assert status_of(response) == 200
    assert fields_of(response)["connection"] == ["close"]


async def test_a_drain_lets_questions_end_and_closes_idle_connections() -> None:
    world = World()
    world.enroll("robot", at_hand=False)
    go = asyncio.Event()
    authorize = world.authorizer.authorize

    class Waiting:
        def authorize_now(self, request: AccessRequest) -> None:
            asked.append(request)

        async def authorize(self, request: AccessRequest) -> object:
            await go.wait()
            return await authorize(request)

    asked: list[AccessRequest] = []
    world.authorizer = Waiting()  # type: ignore[assignment]
    async with forward_auth_door(Dialect.ENVOY, world) as door:
        idle, idle_writer = await connect(door)
        reader, writer = await connect(door)
        writer.write(HEALTH)
        await until(lambda: asked)
        async with asyncio.TaskGroup() as tasks:
            drained = tasks.create_task(door.door.drain(5))
            assert await asyncio.wait_for(idle.read(), 5) == b""
            assert not drained.done()
            assert not door.door.is_accepting
            with pytest.raises(OSError, match="Connect call failed"):
                await connect(door)
            go.set()
            response = await asyncio.wait_for(reader.read(), 5)

        assert status_of(response) == 200
        writer.close()
        idle_writer.close()


async def test_a_drain_cuts_what_does_not_end_in_time() -> None:
    class Stuck:
        def authorize_now(self, request: AccessRequest) -> None:
            asked.append(request)

        async def authorize(self, request: AccessRequest) -> None:
            del request
            await asyncio.Event().wait()

    asked: list[AccessRequest] = []
    world = World()
    world.authorizer = Stuck()  # type: ignore[assignment]
    async with forward_auth_door(Dialect.ENVOY, world) as door:
        reader, writer = await connect(door)
        writer.write(HEALTH)
        await until(lambda: asked)
        await asyncio.wait_for(door.door.drain(0.1), 5)

        assert await asyncio.wait_for(reader.read(), 5) == b""
        writer.close()
