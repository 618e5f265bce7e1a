"""The listener under the demo's servers."""

import asyncio

import pytest
from aiohttp import ClientConnectionError, ClientSession, web

from sidecar.demo.loopback import Loopback


def application(loopback: Loopback, seconds: float) -> web.Application:
    async def wait(_: web.Request) -> web.Response:
        return web.json_response(await loopback.lasts(seconds))

    made = web.Application()
    made.router.add_get("/", wait)
    return made


async def test_it_answers_on_loopback_until_it_is_stopped() -> None:
    loopback = Loopback(0)
    await loopback.start(application(loopback, 0))
    async with ClientSession() as session:
        async with session.get(loopback.url) as answer:
            assert await answer.json() is True

        await loopback.stop()
        await loopback.stop()

        with pytest.raises(ClientConnectionError):
            await session.get(loopback.url)


async def test_before_its_start_nobody_knows_where_it_is() -> None:
    loopback = Loopback(0)

    with pytest.raises(RuntimeError, match="before the server is started"):
        _ = loopback.url
    assert not await loopback.lasts(60)


async def test_a_restart_is_at_the_same_place() -> None:
    loopback = Loopback(0)
    await loopback.start(application(loopback, 0))
    url = loopback.url
    await loopback.stop()

    await loopback.start(application(loopback, 0))

    assert loopback.url == url
    assert not loopback.is_closing
    async with ClientSession() as session, session.get(url) as answer:
        assert await answer.json() is True
    await loopback.stop()


async def test_a_port_that_is_taken_is_an_error() -> None:
    first = Loopback(0)
    await first.start(application(first, 0))
    second = Loopback(first.port)

    with pytest.raises(OSError, match="address already in use"):
        await second.start(application(second, 0))

    await first.stop()


async def test_whoever_waits_is_told_at_once_that_the_server_ends() -> None:
    loopback = Loopback(0)
    await loopback.start(application(loopback, 60))
    async with ClientSession() as session, asyncio.TaskGroup() as tasks:
        got = tasks.create_task(read(session, loopback.url))
        await asyncio.sleep(0.05)

        async with asyncio.timeout(1):
            await loopback.stop()

        assert await got == "false"


async def test_a_handler_that_does_not_listen_cannot_keep_the_server_up() -> None:
    loopback = Loopback(0)
    waits = asyncio.Event()

    async def wait(_: web.Request) -> web.Response:
        waits.set()
        await asyncio.Event().wait()
        return web.Response()

    stubborn = web.Application()
    stubborn.router.add_get("/", wait)
    await loopback.start(stubborn)
    async with ClientSession() as session, asyncio.TaskGroup() as tasks:
        got = tasks.create_task(read(session, loopback.url))
        await waits.wait()

        async with asyncio.timeout(1):
            await loopback.stop()

        assert await got == "hung up"


async def read(session: ClientSession, url: str) -> str:
    try:
        async with session.get(url) as answer:
            return await answer.text()
    except ClientConnectionError:
        return "hung up"
