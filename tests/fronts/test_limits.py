"""Limits at the doors: the same refusal everywhere, and a place given back by every way to end."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from fractions import Fraction

import pytest

from sidecar.admission import Limiter, LimitRules
from sidecar.core.decision import Deny, DenyReason
from sidecar.core.rate_limit import Limit
from sidecar.rules import Admission
from tests.fakes.doors import DOORS, Asked
from tests.fakes.front import Front, running_front, status_of
from tests.fakes.upstream import Conversation, scripted_upstream
from tests.fakes.waiting import until
from tests.fakes.world import World

BEGUN = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n"
HANDSHAKE = (
    b"Upgrade: websocket",
    b"Connection: Upgrade",
    b"Sec-WebSocket-Version: 13",
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)


def limited(limit: Limit) -> tuple[World, Limiter]:
    limiter = Limiter(LimitRules(limit))
    return World(admission=Admission(limiter=limiter)), limiter


@pytest.mark.parametrize("door", DOORS)
async def test_a_used_up_budget_is_429_at_each_door(door: str) -> None:
    world, _ = limited(Limit("account", Fraction(1), 1))
    asked = Asked(authorization=(f"Bearer {world.sign()}",))
    async with DOORS[door](world) as opened:
        first, second = await opened.ask(asked), await opened.ask(asked)

    assert (first.status, second.status) == (200, 429)
    assert isinstance(second.decision, Deny)
    assert second.decision.reason is DenyReason.RATE_LIMITED
    assert not second.told


async def test_the_client_is_told_when_to_come_back_and_the_connection_stays() -> None:
    world, _ = limited(Limit("account", Fraction(1, 5), 1))
    async with scripted_upstream() as upstream, running_front(upstream.url, world=world) as front:
        request = front.request()
        last = front.request("GET /health HTTP/1.1", b"Connection: close")
        response = await front.send(request + request + last)

    first, second, third = response.split(b"HTTP/1.1 ")[1:]
    assert first.startswith(b"200")
    assert third.startswith(b"200")
    head, _, body = second.partition(b"\r\n\r\n")
    assert head.startswith(b"429")
    assert b"Retry-After: 5" in head
    assert b'RateLimit-Policy: "account";q=1;w=5' in head
    assert json.loads(body)["error"] == "rate_limited"


async def leave(front: Front, conversation: Conversation, writer: asyncio.StreamWriter) -> None:
    del front, conversation
    writer.transport.abort()


async def break_off(front: Front, conversation: Conversation, writer: asyncio.StreamWriter) -> None:
    del front, writer
    conversation.abort()


async def finish(front: Front, conversation: Conversation, writer: asyncio.StreamWriter) -> None:
    del front, writer
    await conversation.say(BEGUN + b"0\r\n\r\n")


async def begin_and_break_off(
    front: Front, conversation: Conversation, writer: asyncio.StreamWriter
) -> None:
    del front, writer
    await conversation.say(BEGUN)
    conversation.abort()


async def answer_nonsense(
    front: Front, conversation: Conversation, writer: asyncio.StreamWriter
) -> None:
    del front, writer
    await conversation.say(b"nonsense\r\n\r\n")


async def cut(front: Front, conversation: Conversation, writer: asyncio.StreamWriter) -> None:
    del conversation, writer
    front.cut()


WAYS_TO_END = [leave, break_off, finish, begin_and_break_off, answer_nonsense, cut]
REQUESTS = {
    "at once": (b"GET", b"/reports", (), b""),
    "with a body still to come": (b"PUT", b"/people/a", (b"Content-Length: 9",), b"half"),
    "upgraded": (b"GET", b"/watch", HANDSHAKE, b""),
}


@pytest.mark.parametrize("kind", REQUESTS)
@pytest.mark.parametrize("end", WAYS_TO_END, ids=lambda end: end.__name__)
async def test_a_place_is_given_back_whichever_way_a_request_ends(
    end: Callable[[Front, Conversation, asyncio.StreamWriter], Awaitable[None]], kind: str
) -> None:
    method, path, fields, body = REQUESTS[kind]
    world, limiter = limited(Limit("account", concurrent=1))
    held = asyncio.Event()

    async def hold(_: Conversation) -> None:
        await held.wait()

    async with scripted_upstream(hold) as upstream, running_front(upstream.url, world=world) as f:
        _, writer = await asyncio.open_connection(*f.address)
        line = (method + b" " + path + b" HTTP/1.1").decode()
        writer.write(f.request(line, *fields, body=body))
        await until(lambda: upstream.conversations)
        assert status_of(await f.ask()) == 429

        await end(f, upstream.last, writer)
        await until(lambda: not any(each.in_flight for each in limiter.budgets))
        writer.close()
        held.set()

    assert world.observer.in_flight_now.total() == 0
