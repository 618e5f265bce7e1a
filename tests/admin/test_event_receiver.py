"""Pushing events over the socket, by RFC 8935."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from sidecar.admin.event_listener import EventListener
from sidecar.admin.event_receiver import Entrance, EventReceiver
from sidecar.core.security_event import EventRefusal, EventRefused
from sidecar.security_events import EventsUnavailable
from tests.fakes.clock import FakeClock
from tests.fakes.waiting import until

SECRET = "a secret of some length"
GOOD = {"Authorization": f"Bearer {SECRET}", "Content-Type": "application/secevent+jwt"}


class Door:
    """A listener, and what it has taken. ``failure`` is raised by whoever takes."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.taken: list[str] = []
        self.failure: Exception | None = None
        self.held: asyncio.Event | None = None
        self.listener = EventListener("127.0.0.1", 0)
        entrances = {"idp": Entrance(SECRET, self.take)}
        self.receiver = EventReceiver(entrances, self.clock, body_seconds=0.3)
        self.listener.receive = self.receiver.answer

    async def take(self, text: str) -> None:
        self.taken.append(text)
        if self.held is not None:
            await self.held.wait()
        if self.failure is not None:
            raise self.failure

    async def push(
        self,
        body: Any = b"a.b.c",
        *,
        path: str = "/events/idp",
        method: str = "POST",
        headers: Any = GOOD,
    ) -> tuple[int, bytes, Any]:
        async with (
            aiohttp.ClientSession() as http,
            http.request(method, self.listener.url + path, data=body, headers=headers) as answer,
        ):
            return answer.status, await answer.read(), answer.headers

    async def refusal(self, **how: Any) -> str:
        status, body, headers = await self.push(**how)
        assert status == 400
        assert headers["Content-Type"].startswith("application/json")
        members = json.loads(body)
        assert set(members) == {"err", "description"}
        assert SECRET not in members["description"]
        return str(members["err"])


@pytest_asyncio.fixture
async def door() -> AsyncIterator[Door]:
    door = Door()
    async with door.listener:
        yield door


async def test_an_event_that_was_taken_is_answered_with_202_and_nothing_else(door: Door) -> None:
    status, body, headers = await door.push()

    assert (status, body) == (202, b"")
    assert headers["Cache-Control"] == "no-store"
    assert door.taken == ["a.b.c"]


@pytest.mark.parametrize(
    "authorization",
    [None, "", "Bearer", f"Bearer {SECRET}x", SECRET, f"Basic {SECRET}", f"bearer {SECRET}", "ü"],
)
async def test_without_the_secret_nothing_is_read(door: Door, authorization: str | None) -> None:
    headers = {**GOOD, "Authorization": authorization}
    headers = {name: value for name, value in headers.items() if value is not None}

    assert await door.refusal(headers=headers) == "authentication_failed"
    assert door.taken == []


async def test_two_secrets_are_none(door: Door) -> None:
    headers = [*GOOD.items(), ("Authorization", "Bearer another")]

    assert await door.refusal(headers=headers) == "authentication_failed"


async def test_whoever_tries_secrets_out_is_not_listened_to(door: Door) -> None:
    bad = {**GOOD, "Authorization": "Bearer guessed"}
    for _ in range(10):
        await door.refusal(headers=bad)
    status, _, headers = await door.push()
    assert status == 429
    assert int(headers["Retry-After"]) > 0
    assert door.taken == []
    door.clock.advance(60)

    assert (await door.push())[0] == 202


@pytest.mark.parametrize("media_type", ["application/json", "application/jwt", "text/plain"])
async def test_another_media_type_is_refused(door: Door, media_type: str) -> None:
    headers = {**GOOD, "Content-Type": media_type}

    assert await door.refusal(headers=headers) == "invalid_request"
    assert door.taken == []


async def test_a_body_is_bounded_in_size_and_time(door: Door) -> None:
    async def trickle() -> AsyncIterator[bytes]:
        yield b"a"
        await until(lambda: door.receiver._under_way == 1)
        await until(lambda: door.receiver._under_way == 0)
        yield b"b"

    assert await door.refusal(body=b"a" * 40_000) == "invalid_request"
    assert await door.refusal(body=trickle()) == "invalid_request"
    assert door.taken == []


async def test_each_refusal_has_its_name(door: Door) -> None:
    for refusal in EventRefusal:
        door.failure = EventRefused(refusal, "because")
        assert await door.refusal() == refusal.value


async def test_what_cannot_be_put_into_force_is_503_and_sent_again(door: Door) -> None:
    door.failure = EventsUnavailable("down")
    status, _, headers = await door.push()

    assert (status, headers["Retry-After"]) == (503, "5")


async def test_a_bug_is_500_and_tells_nothing(door: Door) -> None:
    door.failure = RuntimeError("sesame")
    status, body, _ = await door.push()

    assert status == 500
    assert b"sesame" not in body


async def test_so_many_are_taken_at_once_and_no_more(door: Door) -> None:
    door.held = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        first = [tasks.create_task(door.push()) for _ in range(16)]
        await until(lambda: len(door.taken) == 16)
        assert (await door.push())[0] == 429
        door.held.set()

    assert {task.result()[0] for task in first} == {202}
    assert (await door.push())[0] == 202


@pytest.mark.parametrize("path", ["/events/other", "/events/", "/events", "/", "/metrics", "/idp"])
async def test_there_is_nothing_else(door: Door, path: str) -> None:
    assert (await door.push(path=path))[0] == 404


async def test_it_is_posted(door: Door) -> None:
    status, _, headers = await door.push(method="GET", body=None)

    assert (status, headers["Allow"]) == (405, "POST")
