"""The listener: errors before a request, TLS, and an end in good order."""

import asyncio
import logging
import socket
import ssl
from typing import Any

import pytest
import trustme

from sidecar.core.identity_headers import IdentityHeaders
from sidecar.core.request import AccessRequest
from sidecar.fronts.listener import ListenPolicy
from sidecar.fronts.request_head import HeadRules
from sidecar.fronts.reverse_proxy.handler import Handler, Parts
from sidecar.fronts.reverse_proxy.server import listening
from sidecar.fronts.reverse_proxy.upstream import Upstream, UpstreamPolicy
from sidecar.streams import Streams
from tests.fakes.front import read_all, running_front, status_of
from tests.fakes.upstream import OK, Conversation, scripted_upstream
from tests.fakes.world import World


def handler(world: World, upstream: Upstream, authorizer: Any = None) -> Handler:
    return Handler(
        Parts(
            authorizer or world.authorizer,
            Streams(world.observer),
            upstream,
            HeadRules(IdentityHeaders({})),
            world.clock,
            world.observer,
        )
    )


async def exchange(port: int, octets: bytes, tls: ssl.SSLContext | None = None) -> bytes:
    name = None if tls is None else "sidecar.example"
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=tls, server_hostname=name)
    writer.write(octets)
    try:
        return await asyncio.wait_for(read_all(reader), 5)
    finally:
        writer.close()


async def test_tls_ends_here_and_upstream_hears_of_it() -> None:
    authority = trustme.CA()
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("sidecar.example").configure_cert(server)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    request = b"GET /health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    async with scripted_upstream() as scripted, Upstream(UpstreamPolicy(scripted.url)) as upstream:
        policy = ListenPolicy("127.0.0.1", 0, tls=server)
        async with listening(handler(World(), upstream), policy) as proxy:
            assert proxy.url.startswith("https://127.0.0.1:")
            response = await exchange(int(proxy.url.rpartition(":")[2]), request, trusting)

    assert status_of(response) == 200
    assert scripted.last.values("X-Forwarded-Proto") == ["https"]


async def test_an_ipv6_address_is_written_in_brackets() -> None:
    async with (
        Upstream(UpstreamPolicy("http://127.0.0.1:9")) as upstream,
        listening(handler(World(), upstream), ListenPolicy("::1", 0)) as proxy,
    ):
        assert proxy.url.startswith("http://[::1]:")


async def test_a_connection_that_sends_nothing_is_ended() -> None:
    async with Upstream(UpstreamPolicy("http://127.0.0.1:9")) as upstream:
        policy = ListenPolicy("127.0.0.1", 0, idle_timeout=0.1)
        async with listening(handler(World(), upstream), policy) as proxy:
            port = int(proxy.url.rpartition(":")[2])

            assert await exchange(port, b"GET /health HTT") == b""


async def test_a_defect_of_ours_is_a_500_that_says_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Broken:
        def decide_now(self, request: AccessRequest) -> None:
            raise RuntimeError(request.path)

    world = World()
    async with scripted_upstream() as scripted, Upstream(UpstreamPolicy(scripted.url)) as upstream:
        broken = handler(world, upstream, Broken())
        with caplog.at_level(logging.CRITICAL):
            async with listening(broken, ListenPolicy("127.0.0.1", 0)) as proxy:
                response = await exchange(
                    int(proxy.url.rpartition(":")[2]), b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n"
                )

    assert status_of(response) == 500
    assert b"RuntimeError" not in response
    assert b"health" not in response
    assert not scripted.conversations


async def test_a_drain_lets_requests_end_and_closes_idle_connections() -> None:
    async def talk(conversation: Conversation) -> None:
        asked.set()
        await go.wait()
        await conversation.say(OK)

    asked, go = asyncio.Event(), asyncio.Event()
    async with scripted_upstream(talk) as upstream, running_front(upstream.url) as front:
        idle, idle_writer = await asyncio.open_connection(*front.address)
        reader, writer = await asyncio.open_connection(*front.address)
        writer.write(front.request())
        await asyncio.wait_for(asked.wait(), 5)
        async with asyncio.TaskGroup() as tasks:
            drained = tasks.create_task(front.proxy.drain(5))
            assert await asyncio.wait_for(idle.read(), 5) == b""
            assert not drained.done()
            with pytest.raises(OSError, match="Connect call failed"):
                await asyncio.open_connection(*front.address)
            go.set()
            response = await asyncio.wait_for(read_all(reader), 5)

        assert status_of(response) == 200
        assert response.endswith(b"ok")
        writer.close()
        idle_writer.close()


async def test_a_connection_that_waits_to_be_accepted_is_served_before_the_end() -> None:
    async def talk(conversation: Conversation) -> None:
        await conversation.say(OK)

    async with scripted_upstream(talk) as upstream, running_front(upstream.url) as front:
        # Connected without a turn of the event loop: nobody can have accepted it yet.
        with socket.create_connection(front.address) as client:
            client.setblocking(False)  # noqa: FBT003
            await front.proxy.stop_accepting()
            await asyncio.get_running_loop().sock_sendall(client, front.request())

            answer = await asyncio.get_running_loop().sock_recv(client, 4096)
            assert status_of(answer) == 200
            with pytest.raises(OSError, match="Connect call failed"):
                await asyncio.open_connection(*front.address)


async def test_a_drain_cuts_what_does_not_end_in_time() -> None:
    async def talk(conversation: Conversation) -> None:
        await conversation.say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n")
        await conversation.read_to_end()

    async with scripted_upstream(talk) as upstream, running_front(upstream.url) as front:
        reader, writer = await asyncio.open_connection(*front.address)
        writer.write(front.request())
        await reader.readuntil(b"a\r\n")

        await asyncio.wait_for(front.proxy.drain(0.1), 5)

        assert b"0\r\n\r\n" not in await asyncio.wait_for(read_all(reader), 5)
        writer.close()
