"""Recent decisions over the socket, and those to come as an event stream."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import aiohttp
import pytest
from typing_extensions import override

from sidecar.admin.desk import Next, OwnDesk, Row
from sidecar.core.decision import Deny, DenyReason, Grant
from sidecar.core.request import AccessRequest
from sidecar.core.routes import Route
from sidecar.core.subject import AccountStatus
from sidecar.observability.recent_decisions import RecentDecisions, Wanted
from tests.admin.office import SECRET, WORKER, Office
from tests.fakes.clock import FakeClock
from tests.fakes.waiting import until
from tests.fakes.world import NOW

PATH = "/api/decisions"
REQUEST = AccessRequest("GET", "a", "/reports", "", ("Bearer ey.J.x",), "192.0.2.7", "r-1")
GRANT = Grant(Route("reports", "/reports"))
EXPIRED = Deny(DenyReason.TOKEN_EXPIRED, "expired")


def decide(office: Office, decision: Grant | Deny) -> None:
    office.recent.decided(REQUEST, decision, 0.001)


@asynccontextmanager
async def following(
    office: Office, query: str = "", credentials: str = SECRET
) -> AsyncIterator[aiohttp.ClientResponse]:
    headers = {"Authorization": f"Bearer {credentials}", "Accept": "text/event-stream"}
    async with (
        aiohttp.ClientSession() as http,
        http.get(office.url + PATH + query, headers=headers) as response,
    ):
        if response.status == 200:
            assert await response.content.readline() == b": following\n"
        yield response


async def next_event(response: aiohttp.ClientResponse) -> tuple[str, Any]:
    name = ""
    async with asyncio.timeout(10):
        while True:
            line = (await response.content.readline()).decode()
            if line.startswith("event: "):
                name = line.removeprefix("event: ").strip()
            if line.startswith("data: "):
                return name, json.loads(line.removeprefix("data: "))


async def test_the_latest_are_listed_newest_first_by_what_is_asked_for() -> None:
    async with Office().listening() as office:
        for decision in (GRANT, EXPIRED, GRANT):
            decide(office, decision)

        async def found(query: str) -> list[tuple[str, str]]:
            code, answer = await office.ask("GET", PATH + query)
            assert code == 200
            assert answer["silent"] == []
            return [(each["outcome"], each["reason"]) for each in answer["decisions"]]

        granted, expired = ("granted", ""), ("denied", "token_expired")
        assert await found("") == [granted, expired, granted]
        assert await found("?limit=1") == [granted]
        assert await found("?outcome=denied") == [expired]
        assert await found("?reason=token_expired&outcome=denied") == [expired]
        assert await found("?subject=alice") == []
        assert await found("?realm=corp") == []
        assert (await office.ask("GET", PATH + "?outcome=maybe"))[0] == 400
        _, answer = await office.ask("GET", PATH)
        assert answer["decisions"][0]["worker"] == WORKER
        assert "ey.J.x" not in json.dumps(answer)


async def test_those_to_come_are_events() -> None:
    async with Office().listening() as office, following(office, "?outcome=denied") as response:
        assert response.headers["Content-Type"] == "text/event-stream"
        assert response.headers["Cache-Control"] == "no-store"
        decide(office, GRANT)
        decide(office, EXPIRED)

        name, row = await next_event(response)

    assert (name, row["reason"], row["request_id"]) == ("decision", "token_expired", "r-1")


async def test_whoever_reads_too_slowly_is_told_how_many_were_missed() -> None:
    async with Office().listening() as office, following(office) as response:
        for _ in range(1500):
            decide(office, GRANT)

        assert (await next_event(response))[0] == "decision"  # it was waited for
        assert (await next_event(response))[1] == {
            "worker": WORKER,
            "event": "missed",
            "missed": 500,
        }
        assert (await next_event(response))[0] == "decision"


async def test_an_event_stream_ends_when_its_reader_is_shut_out() -> None:
    """As every open stream of a disabled account does."""
    async with Office().listening() as office:
        async with following(office, credentials=office.world.sign()) as response:
            office.world.enroll("robot", "admin", status=AccountStatus.INACTIVE)
            async with asyncio.timeout(10):
                await response.content.read()
        assert office.refusals == []


async def test_so_many_follow_at_once_and_no_more() -> None:
    async with Office().listening() as office, AsyncExitStack() as stack:
        for _ in range(8):
            response = await stack.enter_async_context(following(office))
            assert response.status == 200
        async with following(office) as late:
            assert (late.status, late.headers["Retry-After"]) == (429, "10")

        await stack.aclose()

        async def is_let_in() -> bool:
            async with following(office) as response:
                return response.status == 200

        async with asyncio.timeout(10):
            while not await is_let_in():
                pass


async def test_a_reader_that_has_gone_is_not_written_to() -> None:
    async with Office().listening() as office:
        async with following(office):
            assert len(office.recent._followers) == 1
        await until(lambda: not office.recent._followers)


@pytest.mark.parametrize("method", ["HEAD"])
async def test_a_head_ends_at_once(method: str) -> None:
    async with Office().listening() as office:
        assert await office.ask(method, PATH, Accept="text/event-stream") == (200, None)


class FailingDesk(OwnDesk):
    """What it tells to those who follow fails, after they were told that they do."""

    @asynccontextmanager
    @override
    async def followed(self, wanted: Wanted) -> AsyncIterator[Next]:
        async def fail() -> Row:
            raise RuntimeError("a bug")

        del wanted
        yield fail


async def test_a_stream_of_which_the_telling_fails_ends_and_says_so_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    desk = FailingDesk(RecentDecisions(FakeClock(NOW)), WORKER)
    async with Office(desk=desk).listening() as office, following(office) as response:
        assert await response.read() == b"\n"

    assert "a follower of decisions is told no more" in caplog.text
