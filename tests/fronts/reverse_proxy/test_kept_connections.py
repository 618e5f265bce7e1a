"""What a kept connection carries of one request to the next: nothing (P23, P25, P26, P27, P29, U2).

``INTERLEAVED`` is how many requests of each caller share a connection, ``POSTED`` how many POSTs
meet an upstream that goes away; ``make upstream-bars`` has the numbers of the bars.
"""

import asyncio
import os
import random
import re
from asyncio import StreamWriter
from collections import Counter

import pytest

from tests.fakes.front import Front, running_front, status_of
from tests.fakes.upstream import OK, Conversation, scripted_upstream
from tests.fakes.world import World

INTERLEAVED = int(os.environ.get("INTERLEAVED", "300"))
POSTED = int(os.environ.get("POSTED", "300"))
_AT_ONCE = 50


async def test_callers_that_share_a_connection_are_never_taken_for_each_other() -> None:
    """P25, P26: as where a load balancer multiplexes; every third has a token that is no good."""
    world = World()
    world.enroll("alice")
    world.enroll("bob")
    callers = {"alice": world.sign(sub="alice"), "bob": world.sign(sub="bob"), "": "no.good.token"}
    heard: list[tuple[str, list[str]]] = []

    async def talk(conversation: Conversation) -> None:
        heard.append((conversation.values("X-Who")[0], conversation.values("X-Auth-Subject")))
        await conversation.say(OK)

    order = [who for who in callers for _ in range(INTERLEAVED)]
    random.Random(1).shuffle(order)  # noqa: S311 - the same each time
    async with (
        scripted_upstream(talk) as upstream,
        running_front(upstream.url, world=world) as front,
    ):
        reader, writer = await asyncio.open_connection(*front.address)
        for first in range(0, len(order), _AT_ONCE):
            batch = order[first : first + _AT_ONCE]
            for who in batch:
                fields = f"X-Who: {who}\r\nAuthorization: Bearer {callers[who]}\r\n\r\n"
                writer.write(f"GET /reports HTTP/1.1\r\nHost: a\r\n{fields}".encode())
            statuses = [await next_status(reader) for _ in batch]
            assert statuses == [200 if who else 401 for who in batch]
        writer.close()

    assert heard == [(who, [who]) for who in order if who]


async def next_status(reader: asyncio.StreamReader) -> int:
    head = await reader.readuntil(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: (\d+)", head)
    assert length is not None
    await reader.readexactly(int(length[1]))
    return status_of(head)


async def test_no_post_is_sent_twice_however_often_upstream_goes_away() -> None:
    """U2, bar 35: before the answer, in the midst of it, behind it."""
    chance, seen = random.Random(2), Counter[str]()  # noqa: S311 - the same each time

    async def talk(conversation: Conversation) -> None:
        seen[conversation.request_line] += 1
        upstream.conversations.clear()  # or there is an ever longer pause to collect garbage
        act = chance.random()
        if act < 0.05:
            conversation.abort()
            return
        await conversation.say(OK[: chance.randrange(len(OK))] if act < 0.1 else OK)
        if act < 0.3:
            conversation.abort()

    world = World()
    world.enroll("robot", "admin")
    async with (
        scripted_upstream(talk) as upstream,
        running_front(upstream.url, world=world) as front,
    ):
        answered = await ask_all(front, b"POST")

    assert max(seen.values()) == 1
    assert set(answered) <= {200, 502}
    assert answered[200] > POSTED / 2


async def test_no_get_is_lost_where_upstream_drops_kept_connections() -> None:
    """U2, bar 35: it is asked again, on a connection that nobody has used."""
    chance, used, dropped = random.Random(3), set[StreamWriter](), 0  # noqa: S311 - the same each time

    async def talk(conversation: Conversation) -> None:
        nonlocal dropped
        upstream.conversations.clear()
        if conversation.writer in used and chance.random() < 0.3:
            dropped += 1
            used.discard(conversation.writer)
            conversation.abort()
            return
        used.add(conversation.writer)
        await conversation.say(OK)

    world = World()
    world.enroll("robot", "admin")
    async with (
        scripted_upstream(talk) as upstream,
        running_front(upstream.url, world=world) as front,
    ):
        answered = await ask_all(front, b"GET")

    assert answered == {200: POSTED}
    assert dropped > POSTED / 10


async def ask(front: Front, bearer: bytes, number: int, method: bytes) -> bytes:
    head = b"%s /admin/%d HTTP/1.1\r\nHost: a\r\nConnection: close\r\n" % (method, number)
    return await front.send(head + bearer + b"\r\n\r\n")


async def ask_all(front: Front, method: bytes) -> Counter[int]:
    """Return how often there was each status, of as many requests as are posted."""
    answered, bearer = Counter[int](), front.bearer()
    for first in range(0, POSTED, _AT_ONCE):
        numbers = range(first, min(first + _AT_ONCE, POSTED))
        answers = await asyncio.gather(*(ask(front, bearer, each, method) for each in numbers))
        answered.update(status_of(answer) for answer in answers)
    return answered


async def test_what_could_be_cached_is_asked_for_each_time_and_goes_on_as_it_is() -> None:
    """P23, bar 21: nothing is kept, whatever upstream allows; and its words are for the client."""
    fields = (
        b'Cache-Control: public, max-age=3600\r\nETag: "1"\r\nAge: 7\r\nVary: Authorization\r\n'
        b"Expires: Thu, 01 Jan 2099 00:00:00 GMT\r\n"
    )

    async def talk(conversation: Conversation) -> None:
        await conversation.say(b"HTTP/1.1 200 OK\r\n" + fields + b"Content-Length: 2\r\n\r\nok")

    async with scripted_upstream(talk) as upstream, running_front(upstream.url) as front:
        for asked in (b"X: 1", b"X: 1", b'If-None-Match: "1"', b"Range: bytes=0-0"):
            assert fields in await front.ask("GET /reports HTTP/1.1", asked)

        assert len(upstream.conversations) == 4
        assert upstream.conversations[2].values("If-None-Match") == ['"1"']
        assert upstream.last.values("Range") == ["bytes=0-0"]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_told_to_the_client_and_followed_by_nobody(status: int) -> None:
    """P27."""

    async def talk(conversation: Conversation) -> None:
        await conversation.say(
            f"HTTP/1.1 {status} Elsewhere\r\nLocation: {upstream.url}/trap\r\n"
            "Content-Length: 0\r\n\r\n".encode()
        )

    async with scripted_upstream(talk) as upstream, running_front(upstream.url) as front:
        answer = await front.ask()

        assert status_of(answer) == status
        assert f"Location: {upstream.url}/trap\r\n".encode() in answer
        assert len(upstream.conversations) == 1


@pytest.mark.parametrize(
    "path",
    ["/metrics", "/livez", "/readyz", "/workers", "/console/", "/api/decisions", "/oauth2/revoke",
     "/debug/pprof/", "/.well-known/jwks.json"],
)  # fmt: skip
async def test_what_operators_have_is_not_at_the_clients_door(path: str) -> None:
    """P29: there it is a path like others, refused or upstream's."""
    world = World()
    async with scripted_upstream() as upstream, running_front(upstream.url, world=world) as front:
        answer = await anonymously(front, path)

        assert status_of(answer) in {401, 403, 404}
        assert upstream.conversations == []


async def anonymously(front: Front, path: str) -> bytes:
    return await front.send(f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
