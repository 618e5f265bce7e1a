"""Who listens to what is live, and for how long."""

import asyncio
from contextlib import AsyncExitStack

import aiohttp
from hypothesis import given
from hypothesis import strategies as st

from sidecar.admin.console.live import event
from tests.admin.console.listener import listening
from tests.admin.console.visitor import signed_in
from tests.admin.office import Office

EVENTS = "/console/decisions/events"


@given(st.text())
def test_whatever_is_told_stays_within_its_event(text: str) -> None:
    lines = event("replace", text).split("\n")

    assert lines[0] == "event: replace"
    assert lines[-2:] == ["", ""]
    assert all(line.startswith("data: ") for line in lines[1:-2])


async def test_so_many_listen_and_no_more_until_one_leaves() -> None:
    async with signed_in() as visitor:
        async with AsyncExitStack() as stack:
            for _ in range(16):
                await stack.enter_async_context(listening(visitor, EVENTS))
            refused = await visitor.get(EVENTS)
            assert (refused.status, refused.headers["Retry-After"]) == (429, "10")

        async with asyncio.timeout(10):
            while (await _status(visitor.http, visitor.office.url + EVENTS)) != 200:  # noqa: ASYNC110
                await asyncio.sleep(0.01)


async def _status(http: aiohttp.ClientSession, url: str) -> int:
    async with http.get(url) as response:
        return response.status


async def test_who_listens_all_day_is_signed_out_like_everybody() -> None:
    async with signed_in() as visitor, listening(visitor, EVENTS) as listener:
        visitor.office.world.clock.advance(29 * 60)
        await asyncio.sleep(0.05)
        visitor.office.world.clock.advance(2 * 60)
        assert await listener.next("end") == ("end", "signed out")
        await listener.until_end()


async def test_while_nobody_can_say_who_may_listen_nobody_is_told_anything() -> None:
    office = Office()
    async with (
        signed_in(office, office.world.sign()) as visitor,
        listening(visitor, EVENTS) as listener,
    ):
        office.world.accounts.live = False
        await listener.until_end()
