"""Asking about tokens: one question for all who wait, remembered briefly, and never for ever."""

import asyncio
import json
import logging
from typing import Any

import pytest

from sidecar.adapters.bounded_fetch import FetchFailed
from sidecar.adapters.client_authentication import NoCredential
from sidecar.adapters.introspection import AnswerPolicy, Introspections, IssuerIntrospection
from sidecar.core.bearer import BearerToken
from sidecar.introspection import AnsweredFrom, IntrospectionOutcome, IntrospectionUnavailable
from sidecar.ports import FetchOutcome
from tests.fakes.clock import FakeClock
from tests.fakes.introspection import RecordingIntrospections
from tests.fakes.waiting import until

ISSUER = "https://idp.example"
TOKEN = BearerToken("sesame")


class Endpoint:
    """Implements ``introspection.Endpoint``: gives ``answer``, or raises ``failure``.

    While ``held`` is set, it waits for it first.
    """

    def __init__(self, clock: FakeClock) -> None:
        self.asked: list[str] = []
        self.answer: bytes = b""
        self.failure: Exception | None = None
        self.held: asyncio.Event | None = None
        self.at_once = self.most_at_once = 0
        self.says(active=True, sub="robot", exp=clock.now() + 300)

    def says(self, **members: Any) -> None:
        self.answer = json.dumps(members).encode()

    async def ask(self, bearer: BearerToken) -> bytes:
        self.asked.append(bearer)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            if self.held is not None:
                await self.held.wait()
            if self.failure is not None:
                raise self.failure
            return self.answer
        finally:
            self.at_once -= 1


class Desk:
    def __init__(self, **policy: Any) -> None:
        self.clock = FakeClock()
        self.endpoint = Endpoint(self.clock)
        self.observer = RecordingIntrospections()
        self.introspection = IssuerIntrospection(
            ISSUER, self.endpoint, AnswerPolicy(**policy), self.clock, self.observer
        )

    async def ask(self, token: str = TOKEN) -> Any:
        return await self.introspection.introspect(BearerToken(token))

    async def fails(self, token: str = TOKEN) -> str:
        with pytest.raises(IntrospectionUnavailable) as failed:
            await self.ask(token)
        return str(failed.value)

    def broken(self) -> None:
        self.endpoint.failure = FetchFailed(FetchOutcome.TIMEOUT, "no answer in 2 s")


async def test_an_answer_is_asked_for_once_while_it_counts() -> None:
    desk = Desk()
    for _ in range(3):
        assert (await desk.ask())["sub"] == "robot"
    assert len(desk.endpoint.asked) == 1
    desk.clock.advance(30)
    await desk.ask()

    assert len(desk.endpoint.asked) == 2
    source = AnsweredFrom
    assert desk.observer.sources == [
        source.ENDPOINT, source.MEMORY, source.MEMORY, source.ENDPOINT,
    ]  # fmt: skip


async def test_an_answer_counts_no_longer_than_the_token() -> None:
    desk = Desk()
    desk.endpoint.says(active=True, exp=desk.clock.now() + 2)
    await desk.ask()
    desk.clock.advance(2)
    await desk.ask()

    assert len(desk.endpoint.asked) == 2


@pytest.mark.parametrize("exp", [10**400, 1e300, "soon", None, [], True, -1, 0])
async def test_a_strange_end_is_no_surprise(exp: object) -> None:
    """It is refused later, with its reason."""
    desk = Desk()
    desk.endpoint.says(active=True, exp=exp)

    assert await desk.ask() is not None


async def test_a_refusal_is_remembered_more_briefly() -> None:
    desk = Desk()
    desk.endpoint.says(active=False)
    assert [await desk.ask() for _ in range(3)] == [None] * 3
    assert len(desk.endpoint.asked) == 1
    desk.clock.advance(5)
    await desk.ask()

    assert len(desk.endpoint.asked) == 2


async def test_without_a_memory_each_request_asks() -> None:
    desk = Desk(active=0, inactive=0)
    for _ in range(3):
        await desk.ask()

    assert len(desk.endpoint.asked) == 3


async def test_a_thousand_at_once_are_one_question() -> None:
    """K12."""
    desk = Desk(active=0)
    desk.endpoint.held = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        asking = [tasks.create_task(desk.ask()) for _ in range(1000)]
        await until(lambda: desk.endpoint.asked)
        desk.endpoint.held.set()

    assert len(desk.endpoint.asked) == 1
    assert {task.result()["sub"] for task in asking} == {"robot"}
    assert desk.observer.sources.count(AnsweredFrom.FLIGHT) == 999


async def test_a_thousand_at_once_hear_of_one_failure() -> None:
    desk = Desk()
    desk.broken()
    desk.endpoint.held = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        asking = [tasks.create_task(desk.fails()) for _ in range(1000)]
        await until(lambda: desk.endpoint.asked)
        desk.endpoint.held.set()

    assert len(desk.endpoint.asked) == 1
    assert len({task.result() for task in asking}) == 1


async def test_whoever_asked_and_went_away_does_not_take_the_others_along() -> None:
    desk = Desk()
    desk.endpoint.held = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        first = tasks.create_task(desk.ask())
        await until(lambda: desk.endpoint.asked)
        others = [tasks.create_task(desk.ask()) for _ in range(10)]
        await asyncio.sleep(0)
        first.cancel()
        await until(lambda: len(desk.endpoint.asked) == 2)
        others[0].cancel()  # whether it is the next who asks or not
        desk.endpoint.held.set()

    assert first.cancelled()
    assert {task.result()["sub"] for task in others[1:]} == {"robot"}


async def test_one_who_waits_can_go_away_alone() -> None:
    desk = Desk()
    desk.endpoint.held = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        first = tasks.create_task(desk.ask())
        await until(lambda: desk.endpoint.asked)
        second = tasks.create_task(desk.ask())
        await asyncio.sleep(0)
        second.cancel()
        await asyncio.wait((second,))
        desk.endpoint.held.set()

    assert second.cancelled()
    assert first.result()["sub"] == "robot"
    assert len(desk.endpoint.asked) == 1


async def test_a_flood_of_tokens_is_so_many_questions_at_once_and_no_more() -> None:
    desk = Desk(max_in_flight=8)
    desk.endpoint.held = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        for number in range(200):
            tasks.create_task(desk.ask(f"token{number}"))
        await until(lambda: desk.endpoint.at_once == 8)
        await asyncio.sleep(0)
        desk.endpoint.held.set()

    assert desk.endpoint.most_at_once == 8
    assert len(desk.endpoint.asked) == 200


@pytest.mark.parametrize(
    ("failure", "outcome"),
    [
        *(
            (FetchFailed(FetchOutcome(name), "it failed"), IntrospectionOutcome(name))
            for name in ("unreachable", "timeout", "status", "too_large", "malformed")
        ),
        (FetchFailed(FetchOutcome.ISSUER_MISMATCH, "x"), IntrospectionOutcome.ISSUER_MISMATCH),
        (NoCredential("its file cannot be used"), IntrospectionOutcome.CREDENTIAL),
    ],
)
async def test_each_failure_has_its_name_and_is_not_remembered(
    failure: Exception, outcome: IntrospectionOutcome
) -> None:
    desk = Desk()
    desk.endpoint.failure = failure
    assert outcome.value in await desk.fails()
    desk.endpoint.failure = None

    assert await desk.ask() is not None
    assert desk.observer.outcomes == [outcome, IntrospectionOutcome.ACTIVE]


async def test_an_answer_that_is_none_is_a_failure_and_quotes_nothing() -> None:
    desk = Desk()
    desk.endpoint.answer = b'{"active": "sesame"}'

    assert "sesame" not in await desk.fails()
    assert desk.observer.outcomes == [IntrospectionOutcome.MALFORMED]


async def test_a_dead_endpoint_does_not_hold_every_request() -> None:
    desk = Desk()
    desk.broken()
    for number in range(5):
        await desk.fails(f"token{number}")
    for number in range(100):
        assert "rests" in await desk.fails(f"other{number}")

    assert len(desk.endpoint.asked) == 5
    assert desk.observer.outcomes[5:] == [IntrospectionOutcome.RESTING] * 100
    desk.endpoint.failure = None
    desk.clock.advance(1)
    assert await desk.ask() is not None
    assert await desk.ask("another") is not None


async def test_while_the_endpoint_rests_what_is_remembered_still_counts() -> None:
    desk = Desk()
    await desk.ask()
    desk.broken()
    for number in range(6):
        await desk.fails(f"token{number}")

    assert await desk.ask() is not None


async def test_tokens_that_upset_the_endpoint_do_not_make_it_rest() -> None:
    """Else a stranger could shut out everybody whose token has to be asked about."""
    desk = Desk()
    desk.endpoint.answer = b"<html>"
    for number in range(20):
        if number == 10:
            desk.endpoint.failure = FetchFailed(FetchOutcome.STATUS, "status 400", 400)
        await desk.fails(f"token{number}")

    assert len(desk.endpoint.asked) == 20


async def test_whoever_tried_a_resting_endpoint_and_went_away_leaves_the_try_to_others() -> None:
    desk = Desk()
    desk.broken()
    for number in range(5):
        await desk.fails(f"token{number}")
    desk.clock.advance(1)
    desk.endpoint.failure, desk.endpoint.held = None, asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        trying = tasks.create_task(desk.ask())
        await until(lambda: len(desk.endpoint.asked) == 6)
        trying.cancel()
    desk.endpoint.held.set()

    assert await desk.ask() is not None


async def test_an_outage_is_told_once_and_so_is_its_end(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    desk = Desk()
    desk.broken()
    for number in range(4):
        await desk.fails(f"token{number}")
    desk.endpoint.failure = None
    await desk.ask()

    told = [record.getMessage() for record in caplog.records]
    assert len(told) == 2
    assert f"the introspection endpoint of {ISSUER} is not available" in told[0]
    assert "available again" in told[1]
    assert "sesame" not in caplog.text


async def test_each_issuer_is_asked_at_its_own_endpoint() -> None:
    desk, other = Desk(), Desk()
    introspections = Introspections({"one": desk.introspection, "other": other.introspection})
    await introspections.introspect("other", TOKEN)

    assert (len(desk.endpoint.asked), len(other.endpoint.asked)) == (0, 1)
    with pytest.raises(IntrospectionUnavailable):
        await introspections.introspect("nobody", TOKEN)
