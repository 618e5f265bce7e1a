"""Connections whose requests wait for the turn of their token, beside others."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from sidecar.core.decision import Deny, DenyReason
from sidecar.turns import Bounds, Turns
from tests.fakes.front import Front, running_front, status_of
from tests.fakes.turning import HeldLoop, busy, world_with
from tests.fakes.upstream import ScriptedUpstream, scripted_upstream
from tests.fakes.waiting import until

_RESETS = struct.pack("ii", 1, 0)

BOUNDS = Bounds(seconds=1.0, number=1, most=64, patience=5.0)


class Flooded:
    """A front whose slice is used up until the loop that the test holds turns."""

    def __init__(self, bounds: Bounds) -> None:
        self.loop = HeldLoop()
        self.world = world_with(lambda world: busy(self.loop, world.clock, bounds))
        turns = self.world.rules["admission"].turns
        assert isinstance(turns, Turns)
        self.turns = turns
        self.front: Front
        self.upstream: ScriptedUpstream

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(*self.front.address)

    async def know(self, token: str) -> None:
        """Have a token remembered."""
        self.loop.run_out()
        assert status_of(await self.front.say(get(token))) == 200
        while self.turns.take():
            pass

    def reasons(self) -> list[DenyReason | None]:
        return [
            decision.reason if isinstance(decision, Deny) else None
            for _, decision, _ in self.world.observer.decisions
        ]


@asynccontextmanager
async def flooded(bounds: Bounds = BOUNDS) -> AsyncIterator[Flooded]:
    here = Flooded(bounds)
    async with (
        scripted_upstream() as here.upstream,
        running_front(here.upstream.url, world=here.world) as here.front,
    ):
        yield here
        here.loop.run_out()


def get(token: str, *fields: bytes) -> bytes:
    bearer = b"Authorization: Bearer " + token.encode()
    return b"\r\n".join([b"GET /reports HTTP/1.1", b"Host: a", bearer, *fields, b"", b""])


async def test_a_known_caller_is_served_while_unknown_ones_wait() -> None:
    async with flooded() as here:
        known = here.world.sign()
        await here.know(known)
        reader, writer = await here.connect()
        writer.write(get(here.world.sign(jti="unknown")))
        await until(lambda: len(here.turns))

        assert status_of(await here.front.say(get(known))) == 200
        assert len(here.turns) == 1
        here.loop.turn()
        assert status_of(await reader.readuntil(b"\r\n\r\nok")) == 200
        writer.close()


async def test_answers_of_a_connection_keep_their_order_though_some_requests_wait() -> None:
    async with flooded() as here:
        known = here.world.sign()
        await here.know(known)
        stranger = here.world.sign(sub="stranger")
        last = get(known, b"Connection: close")
        answer = asyncio.get_running_loop().create_task(
            here.front.send(get(known) + get(stranger) + get(known) + get("garbage") + last)
        )
        await until(lambda: len(here.turns))
        before = here.reasons()
        here.loop.turn()
        parts = (await answer).split(b"HTTP/1.1 ")[1:]

    assert [part[:3] for part in parts] == [b"200", b"401", b"200", b"401", b"200"]
    assert before == [None, None], "what comes behind one that waits is not decided before it"


async def test_a_connection_has_one_turn_at_a_time() -> None:
    async with flooded() as here:
        tokens = [here.world.sign(jti=str(number)) for number in range(3)]
        reader, writer = await here.connect()
        writer.write(b"".join(get(token) for token in tokens))
        for _ in tokens:
            await until(lambda: len(here.turns))
            assert len(here.turns) == 1
            here.loop.turn()
            assert status_of(await reader.readuntil(b"\r\n\r\nok")) == 200
        writer.close()


async def test_who_leaves_while_it_waits_is_not_verified() -> None:
    async with flooded() as here:
        _, writer = await here.connect()
        writer.write(get(here.world.sign()))
        await until(lambda: len(here.turns))
        connection = writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESETS)
        writer.transport.abort()
        await until(lambda: not len(here.turns))
        here.loop.run_out()

        assert here.reasons() == []
        assert len(here.world.remembered) == 0


async def test_who_has_only_ended_its_side_is_answered() -> None:
    async with flooded() as here:
        answer = asyncio.get_running_loop().create_task(here.front.say(get(here.world.sign())))
        await until(lambda: len(here.turns))
        here.loop.turn()

        assert status_of(await answer) == 200


async def test_a_drain_waits_for_those_who_wait() -> None:
    async with flooded() as here:
        answer = asyncio.get_running_loop().create_task(here.front.send(get(here.world.sign())))
        await until(lambda: len(here.turns))
        draining = asyncio.get_running_loop().create_task(here.front.proxy.drain(10))
        await until(lambda: not here.front.proxy.is_accepting)
        here.loop.turn()

        assert status_of(await answer) == 200
        await draining


async def test_without_room_the_refusal_says_when_to_come_again_and_the_connection_stays() -> None:
    async with flooded(replace(BOUNDS, most=0)) as here:
        known = here.world.sign()
        await here.know(known)
        answer = await here.front.send(
            get(here.world.sign(jti="unknown")) + get(known, b"Connection: close")
        )

        assert [part[:3] for part in answer.split(b"HTTP/1.1 ")[1:]] == [b"503", b"200"]
        assert b"\r\nRetry-After: 1\r\n" in answer
        assert here.reasons() == [None, DenyReason.OVERLOADED, None]


async def test_a_token_that_wants_more_than_its_turn_gets_it() -> None:
    """Its account is not at hand: that is waited for by the other way."""
    async with flooded() as here:
        here.world.enroll("other", at_hand=False)
        answer = asyncio.get_running_loop().create_task(
            here.front.say(get(here.world.sign(sub="other")))
        )
        await until(lambda: len(here.turns))
        here.loop.turn()

        assert status_of(await answer) == 200
        assert len(here.world.accounts.reads) == 1


async def test_a_request_with_a_body_waits_its_turn_too() -> None:
    async with flooded() as here:
        token = here.world.sign()
        chunked = get(token, b"Transfer-Encoding: chunked", b"Connection: close")
        answer = asyncio.get_running_loop().create_task(
            here.front.send(chunked + b"3\r\nabc\r\n0\r\n\r\n")
        )
        await until(lambda: len(here.turns))
        assert here.upstream.conversations == []
        here.loop.turn()

        assert status_of(await answer) == 200
