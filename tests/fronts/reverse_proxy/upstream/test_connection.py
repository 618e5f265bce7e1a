"""What is sent twice, and what never is."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from sidecar.fronts.reverse_proxy.upstream import Upstream, UpstreamFailed, UpstreamPolicy
from tests.fakes.upstream import OK, Conversation, ScriptedUpstream, scripted_upstream


async def body() -> AsyncIterator[bytes]:
    yield b"part"


async def ask_on_a_connection_that_dies(
    method: str, pieces: AsyncIterator[bytes] | None, said: bytes = b""
) -> ScriptedUpstream:
    async def talk(conversation: Conversation) -> None:
        if len(scripted.conversations) == 2:
            await conversation.say(said)
            conversation.writer.close()
        else:
            await conversation.say(OK)

    async with (
        scripted_upstream(talk) as scripted,
        Upstream(UpstreamPolicy(scripted.url, first_byte_timeout=1)) as upstream,
        asyncio.timeout(5),
    ):
        (await upstream.ask("GET", "/", [(b"Host", b"a")], None)).at_hand()
        try:
            await upstream.ask(method, "/", [(b"Host", b"a")], pieces)
        except UpstreamFailed:
            return scripted
    return scripted


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE"])
async def test_what_may_happen_twice_is_asked_again_on_a_new_connection(method: str) -> None:
    scripted = await ask_on_a_connection_that_dies(method, None)

    assert (len(scripted.conversations), scripted.connections) == (3, 2)


async def test_a_post_is_never_sent_twice() -> None:
    assert len((await ask_on_a_connection_that_dies("POST", None)).conversations) == 2


async def test_after_one_octet_of_the_answer_nothing_is_sent_twice() -> None:
    assert len((await ask_on_a_connection_that_dies("GET", None, b"H")).conversations) == 2


async def test_a_body_that_was_streamed_is_gone_and_its_head_is_not_sent_alone() -> None:
    assert len((await ask_on_a_connection_that_dies("PUT", body())).conversations) == 2
