"""Streams over the wire: they tick, and they end with either side."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import pytest_asyncio
from aiohttp import ClientResponse, ClientSession, WSMsgType, WSServerHandshakeError

from sidecar.demo.gateway import Gateway, GatewayAccount
from tests.fakes.waiting import until

ALICE = {"Authorization": "Bearer alice"}


async def whoever_it_says(token: str) -> str | None:
    """A verifier to which a token is its subject."""
    return token


def accounts() -> list[GatewayAccount]:
    return [GatewayAccount("alice")]


@pytest_asyncio.fixture
async def gateway() -> AsyncIterator[Gateway]:
    async with Gateway(whoever_it_says, accounts(), tick_seconds=0.01) as gateway:
        yield gateway


@pytest_asyncio.fixture
async def session() -> AsyncIterator[ClientSession]:
    async with ClientSession() as session:
        yield session


@asynccontextmanager
async def open_stream(gateway: Gateway, session: ClientSession) -> AsyncIterator[ClientResponse]:
    url = f"{gateway.url}/api/sessions/7/stream"
    async with session.get(url, headers=ALICE) as answer:
        yield answer


async def test_an_event_stream_counts(gateway: Gateway, session: ClientSession) -> None:
    async with open_stream(gateway, session) as answer:
        assert answer.content_type == "text/event-stream"
        assert answer.headers["X-Accel-Buffering"] == "no"
        lines = [await answer.content.readline() for _ in range(7)]
        assert gateway.open_streams == 1

    assert lines == [
        b": connected\n",
        b"\n",
        b"id: 1\n",
        b'data: {"count":1}\n',
        b"\n",
        b"id: 2\n",
        b'data: {"count":2}\n',
    ]
    await until(lambda: gateway.open_streams == 0)


async def test_the_demos_websocket_ticks_and_echoes(
    gateway: Gateway, session: ClientSession
) -> None:
    async with session.ws_connect(f"{gateway.url}/api/demo/ws", headers=ALICE) as socket:
        await socket.send_str("hello")
        await socket.send_bytes(b"\x00")
        heard = [(await socket.receive()).data for _ in range(6)]
        assert gateway.open_streams == 1

    assert [text for text in heard if text in ("hello", b"\x00")] == ["hello", b"\x00"]
    assert '{"count": 1}' in heard
    await until(lambda: gateway.open_streams == 0)


async def test_the_agents_websocket_needs_its_key(gateway: Gateway, session: ClientSession) -> None:
    url = f"{gateway.url}/api/ws"
    async with session.ws_connect(url, headers={"HOOP_KEY": "grpc://agent"}) as socket:
        await socket.send_str("hello")
        assert (await socket.receive()).data == "hello"
        with pytest.raises(TimeoutError):  # it says nothing unasked
            await socket.receive(timeout=0.05)

    with pytest.raises(WSServerHandshakeError, match="401"):
        await session.ws_connect(url)
    async with session.get(url) as answer:
        assert await answer.text() == '{"error":"access denied"}'


async def test_a_client_that_vanishes_ends_its_websocket(
    gateway: Gateway, session: ClientSession
) -> None:
    socket = await session.ws_connect(f"{gateway.url}/api/demo/ws", headers=ALICE)
    await until(lambda: gateway.open_streams == 1)

    transport = socket.get_extra_info("socket")
    transport.shutdown(2)

    await until(lambda: gateway.open_streams == 0)
    await socket.close()


async def test_streams_end_with_the_gateway(session: ClientSession) -> None:
    loop = asyncio.get_running_loop()
    async with asyncio.TaskGroup() as tasks:
        async with Gateway(whoever_it_says, accounts(), tick_seconds=60) as gateway:
            events = tasks.create_task(read_all(gateway, session))
            socket = await session.ws_connect(f"{gateway.url}/api/demo/ws", headers=ALICE)
            closed = tasks.create_task(socket.receive())
            deaf = await session.ws_connect(
                f"{gateway.url}/api/demo/ws", headers=ALICE, autoclose=False
            )
            await until(lambda: gateway.open_streams == 3)
            began = loop.time()

        assert loop.time() - began < 1

    assert await events == b": connected\n\n"
    assert (await closed).type is WSMsgType.CLOSE
    assert socket.close_code == 1001
    assert gateway.open_streams == 0
    await deaf.close()


async def read_all(gateway: Gateway, session: ClientSession) -> bytes:
    async with open_stream(gateway, session) as answer:
        return await answer.read()
