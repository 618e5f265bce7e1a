"""What goes through goes on octet for octet, both ways and over the wire (P18, P24, bar 20)."""

import gzip

import pytest

from tests.fakes.front import running_front, status_of
from tests.fakes.upstream import OK, Conversation, scripted_upstream
from tests.fakes.world import World

# Twice, in a row and apart; in whatever letters; empty; beyond ASCII; and what merging would break.
FIELDS = (
    b"x-lower: 1", b"X-UPPER: 2", b"Set-Cookie: a=1; Expires=Thu, 01 Jan 2099 00:00:00 GMT",
    b"x-Twice: 1", b"Set-Cookie: b=2", b"X-twice: 2", b"X-Empty:", b"X-Eight: \xe9t\xe9 \xff",
    b"X-Utf: \xe2\x98\x83", b"X-Inner:  two  blanks", b'X-Quoted: "a,b", c',
)  # fmt: skip
READ = [(name, value.strip()) for name, _, value in (each.partition(b":") for each in FIELDS)]


def fields_of(head: bytes) -> list[tuple[bytes, bytes]]:
    lines = head.split(b"\r\n\r\n")[0].split(b"\r\n")[1:]
    return [(name, value.strip()) for name, _, value in (line.partition(b":") for line in lines)]


async def test_every_field_of_a_request_goes_on_as_it_came() -> None:
    async with scripted_upstream() as upstream, running_front(upstream.url) as front:
        await front.ask("GET /reports HTTP/1.1", *FIELDS)

        assert [each for each in fields_of(upstream.last.head) if each in READ] == READ


async def test_every_field_of_an_answer_goes_on_as_it_came_and_none_is_added() -> None:
    """``Server`` among them: the gateway's clients read its version there."""
    own = (
        b"Server: hoopgateway/1.2.3",
        b"Date: Thu, 01 Jan 1970 00:00:00 GMT",
        b"Vary: Authorization",
    )
    head = b"\r\n".join([b"HTTP/1.1 200 Fine, thanks", *own, *FIELDS, b"Content-Length: 2"])

    async def talk(conversation: Conversation) -> None:
        await conversation.say(head + b"\r\n\r\nok")

    async with scripted_upstream(talk) as upstream, running_front(upstream.url) as front:
        answer = await front.ask()

    assert answer.startswith(b"HTTP/1.1 200 Fine, thanks\r\n")
    ours = [each for each in fields_of(answer) if each[0] != b"Connection"]
    assert ours == fields_of(head)


@pytest.mark.parametrize("body", [gzip.compress(bytes(5_000_000)), b"no gzip at all"])
async def test_a_compressed_request_is_not_looked_into(body: bytes) -> None:
    """P18: a bomb is upstream's to open, and what is none is upstream's to refuse."""

    async def talk(conversation: Conversation) -> None:
        await conversation.read(len(body))
        await conversation.say(OK)

    world = World()
    world.enroll("robot", "admin")
    length = b"Content-Length: %d" % len(body)
    async with (
        scripted_upstream(talk) as upstream,
        running_front(upstream.url, world=world) as front,
    ):
        line = "POST /admin/x HTTP/1.1"
        answer = await front.ask(line, b"Content-Encoding: gzip", length, body=body)

        assert status_of(answer) == 200
        assert bytes(upstream.last.received) == body
        assert upstream.last.values("Content-Encoding") == ["gzip"]
