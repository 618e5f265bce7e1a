"""What a token's expiry does to what is in flight, as the settings say."""

import asyncio

import aiohttp
import pytest

from tests.e2e.conftest import Site
from tests.e2e.processes import running_sidecar
from tests.e2e.test_main_job import bearer
from tests.fakes.upstream import Conversation, scripted_upstream

pytestmark = pytest.mark.e2e


async def test_a_download_may_finish_and_an_event_stream_may_not(site: Site) -> None:
    """The event stream's cut says that the token has expired; then the download still goes on."""
    await site.enable()
    finish = asyncio.Event()

    async def talk(conversation: Conversation) -> None:
        if "events" in conversation.request_line:
            await conversation.say(
                b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n: hello\n\n"
            )
            await conversation.read_to_end()
            return
        await conversation.say(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf")
        await finish.wait()
        await conversation.say(b"more")

    async with scripted_upstream(talk) as upstream:
        settings = site.settings(upstream={"url": upstream.url}, streams={"expired": "finish"})
        async with running_sidecar(settings, site.directory) as sidecar:
            token = bearer(site.token(lifetime=4))  # not before: the start may take long
            async with (
                site.http.get(sidecar.url + "/api/download", headers=token) as download,
                site.http.get(sidecar.url + "/api/events", headers=token) as events,
            ):
                assert (download.status, events.status) == (200, 200)
                with pytest.raises(aiohttp.ClientError):
                    async with asyncio.timeout(10):
                        await events.content.read()

                finish.set()
                assert await download.read() == b"halfmore"
