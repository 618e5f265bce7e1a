"""What is answered at once, and what has to wait; the answer is the same."""

import asyncio

import pytest

from tests.fakes.front import running_front, status_of
from tests.fakes.upstream import OK, Conversation, scripted_upstream
from tests.fakes.waiting import until
from tests.fakes.world import World


def admin() -> World:
    world = World()
    world.enroll("robot", "admin")
    return world


async def test_a_body_that_is_there_goes_out_with_its_head() -> None:
    async def talk(conversation: Conversation) -> None:
        await conversation.read(5)
        await conversation.say(OK)

    async with (
        scripted_upstream(talk) as upstream,
        running_front(upstream.url, world=admin()) as front,
    ):
        response = await front.ask("POST /admin/x HTTP/1.1", b"Content-Length: 5", body=b"hello")

    assert status_of(response) == 200
    assert bytes(upstream.last.received) == b"hello"
    assert upstream.last.values("Content-Length") == ["5"]


async def test_an_account_that_is_not_at_hand_is_waited_for_and_then_remembered() -> None:
    world = World()
    world.enroll("robot", at_hand=False)
    async with scripted_upstream() as upstream, running_front(upstream.url, world=world) as front:
        for _ in range(3):
            assert status_of(await front.ask()) == 200

        assert len(world.accounts.reads) == 1
        assert len(upstream.conversations) == 3


async def test_what_a_connection_remembers_grants_nothing() -> None:
    """Disabled between two requests of one connection that are alike octet for octet."""
    world = World()
    async with scripted_upstream() as upstream, running_front(upstream.url, world=world) as front:
        reader, writer = await asyncio.open_connection(*front.address)
        for _ in range(3):
            writer.write(front.request())
            assert status_of(await reader.readuntil(b"\r\n\r\nok")) == 200
        world.disable("robot")
        writer.write(front.request())
        assert status_of(await reader.readuntil(b"\r\n\r\n")) == 401
        writer.close()

        assert len(upstream.conversations) == 3


async def test_another_token_on_the_same_connection_is_another_caller() -> None:
    world = World()
    world.enroll("other", "ops")
    async with scripted_upstream() as upstream, running_front(upstream.url, world=world) as front:
        reader, writer = await asyncio.open_connection(*front.address)
        for subject in ("robot", "other", "robot", "stranger"):
            head = b"GET /reports HTTP/1.1\r\nHost: a\r\n" + front.bearer(sub=subject)
            writer.write(head + b"\r\n\r\n")
            status = status_of(await reader.readuntil(b"\r\n\r\n"))
            assert status == (401 if subject == "stranger" else 200)
            if status == 200:
                assert await reader.readexactly(2) == b"ok"
        writer.close()

    told = [each.values("X-Auth-Subject") for each in upstream.conversations]
    assert told == [["robot"], ["other"], ["robot"]]


async def test_groups_that_change_between_two_requests_are_told_anew() -> None:
    world = World()
    async with scripted_upstream() as upstream, running_front(upstream.url, world=world) as front:
        reader, writer = await asyncio.open_connection(*front.address)
        for groups in ((), ("ops",), ("ops", "admin")):
            world.enroll("robot", *groups)
            writer.write(front.request())
            assert status_of(await reader.readuntil(b"\r\n\r\nok")) == 200
        writer.close()

    told = [each.values("X-Auth-Groups") for each in upstream.conversations]
    assert told == [[""], ["ops"], ["ops,admin"]]


async def test_each_request_has_an_id_of_its_own() -> None:
    async with scripted_upstream() as upstream, running_front(upstream.url) as front:
        reader, writer = await asyncio.open_connection(*front.address)
        for _ in range(3):
            writer.write(front.request())
            await reader.readuntil(b"\r\n\r\nok")
        writer.close()

    ids = [each.values("X-Request-Id")[0] for each in upstream.conversations]
    assert len(set(ids)) == 3


@pytest.mark.parametrize("body", [b"", b"he"])
async def test_a_body_that_is_still_to_come_is_waited_for(body: bytes) -> None:
    async def talk(conversation: Conversation) -> None:
        await conversation.read(5)
        await conversation.say(OK)

    async with (
        scripted_upstream(talk) as upstream,
        running_front(upstream.url, world=admin()) as front,
    ):
        reader, writer = await asyncio.open_connection(*front.address)
        head = front.request("POST /admin/x HTTP/1.1", b"Content-Length: 5", body=body)
        writer.write(head)
        await until(lambda: upstream.conversations)
        writer.write(b"hello"[len(body) :])
        assert status_of(await reader.readuntil(b"ok")) == 200
        writer.close()

    assert bytes(upstream.last.received) == b"hello"


async def test_a_credential_that_cannot_be_written_on_is_refused() -> None:
    """On an open route nobody has looked at it; it must not leave as other octets than it came."""
    async with scripted_upstream() as upstream, running_front(upstream.url) as front:
        response = await front.send(
            b"GET /health HTTP/1.1\r\nHost: a\r\nAuthorization: Basic \xff\xfe\r\n\r\n"
        )

        assert status_of(response) == 400
        assert b"Connection: close" in response
        assert not upstream.conversations
        assert not any(front.world.observer.in_flight_now.values())
