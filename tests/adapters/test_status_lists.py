"""Lists are fetched once, refreshed in time, and count no longer than they say."""

import asyncio
import logging
from functools import partial
from typing import Any

import pytest

from sidecar.adapters.bounded_fetch import FetchFailed
from sidecar.adapters.provider_keys import Provider
from sidecar.adapters.status_lists import StatusListSource
from sidecar.core.issuer import Issuer
from sidecar.ports import FetchOutcome
from sidecar.revocations import verify_fresh
from sidecar.status_lists import StatusListUnavailable
from tests.fakes.clock import FakeClock
from tests.fakes.keys import FakeKeySource
from tests.fakes.status_lists import URI, list_claims, list_token
from tests.fakes.tokens import key_set, rsa_key
from tests.fakes.waiting import until
from tests.fakes.world import ISSUER


class Desk:
    """A source over one list. ``failure`` is raised by a fetch, ``held`` is what one waits for."""

    def __init__(self, max_age: float = 300.0) -> None:
        self.clock = FakeClock()
        self.keys = FakeKeySource()
        self.keys.publish(ISSUER, key_set([rsa_key()]))
        self.document = list_token(list_claims(b"\x00"))
        self.fetches: list[str] = []
        self.outcomes: list[FetchOutcome] = []
        self.failure: Exception | None = None
        self.held: asyncio.Event | None = None
        self.source = StatusListSource(
            [Provider(Issuer(ISSUER))],
            self.fetch,
            partial(verify_fresh, keys=self.keys),
            self.clock,
            self,
            {ISSUER: max_age},
        )

    async def fetch(self, url: str, provider: Provider) -> bytes:
        assert provider.issuer.name == ISSUER
        self.fetches.append(url)
        if self.held is not None:
            await self.held.wait()
        if self.failure is not None:
            raise self.failure
        return self.document

    def status_list_fetched(self, issuer: str, outcome: FetchOutcome, seconds: float) -> None:
        del issuer, seconds
        self.outcomes.append(outcome)

    async def status(self) -> int | None:
        return (await self.source.read(ISSUER, URI)).status(0)

    async def fails(self) -> None:
        with pytest.raises(StatusListUnavailable):
            await self.source.read(ISSUER, URI)

    def serves(self, octets: bytes = b"\x00", **changed: Any) -> None:
        self.document = list_token(list_claims(octets, **changed))


async def test_a_list_is_fetched_once_while_it_counts() -> None:
    desk = Desk()
    assert desk.source.look_up(ISSUER, URI) is None
    for _ in range(3):
        assert await desk.status() == 0

    assert desk.fetches == [URI]
    assert desk.source.look_up(ISSUER, URI) is not None
    assert desk.outcomes == [FetchOutcome.FETCHED]


async def test_it_counts_as_long_as_it_says_and_no_longer() -> None:
    desk = Desk()
    await desk.status()
    desk.clock.advance(99.9)
    assert desk.source.look_up(ISSUER, URI) is not None
    desk.clock.advance(0.1)
    assert desk.source.look_up(ISSUER, URI) is None
    desk.failure = FetchFailed(FetchOutcome.TIMEOUT, "slow")

    await desk.fails()


@pytest.mark.parametrize(
    ("changed", "life"),
    [({"ttl": 1000}, 300), ({"ttl": None}, 300), ({"exp": 1_700_000_050}, 50), ({"ttl": 7}, 7)],
)
async def test_the_shortest_of_what_is_said_counts(changed: dict[str, Any], life: float) -> None:
    desk = Desk()
    desk.serves(**changed)
    await desk.status()
    desk.clock.advance(life - 0.1)
    assert desk.source.look_up(ISSUER, URI) is not None
    desk.clock.advance(0.1)

    assert desk.source.look_up(ISSUER, URI) is None


async def test_a_clock_that_is_put_forward_makes_no_expired_list_count() -> None:
    desk = Desk()
    await desk.status()
    desk.clock.step(3600)

    assert desk.source.look_up(ISSUER, URI) is None


async def test_it_is_refreshed_before_it_ages_and_a_turn_is_seen() -> None:
    desk = Desk()
    await desk.status()
    await desk.source.refresh_due()
    assert len(desk.fetches) == 1
    desk.clock.advance(80)
    desk.serves(b"\x01", iat=1_700_000_000 + 79)
    await desk.source.refresh_due()

    found = desk.source.look_up(ISSUER, URI)
    assert found is not None
    assert found.status(0) == 1
    desk.clock.advance(99)
    assert desk.source.look_up(ISSUER, URI) is not None


async def test_while_the_refresh_fails_the_list_counts_on_for_its_time() -> None:
    desk = Desk()
    await desk.status()
    desk.clock.advance(80)
    desk.failure = FetchFailed(FetchOutcome.UNREACHABLE, "down")
    for _ in range(19):
        desk.clock.advance(1)
        await desk.source.refresh_due()
        assert desk.source.look_up(ISSUER, URI) is not None
    desk.clock.advance(1)

    assert desk.source.look_up(ISSUER, URI) is None
    assert len(desk.fetches) == 20


async def test_a_list_that_nobody_uses_is_forgotten() -> None:
    desk = Desk()
    await desk.status()
    desk.clock.advance(601)
    await desk.source.refresh_due()

    assert len(desk.fetches) == 1


async def test_so_many_lists_are_kept_and_no_more() -> None:
    desk = Desk()
    for number in range(70):
        uri = f"https://idp.example/statuslists/{number}"
        desk.serves(sub=uri)
        await desk.source.read(ISSUER, uri)

    assert desk.source.look_up(ISSUER, "https://idp.example/statuslists/5") is None
    assert desk.source.look_up(ISSUER, "https://idp.example/statuslists/6") is not None


async def test_a_thousand_at_once_are_one_fetch() -> None:
    desk = Desk()
    desk.held = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        waiting = [tasks.create_task(desk.status()) for _ in range(1000)]
        await until(lambda: desk.fetches)
        desk.held.set()

    assert {task.result() for task in waiting} == {0}
    assert len(desk.fetches) == 1


async def test_whoever_fetched_and_went_away_leaves_it_to_the_next() -> None:
    desk = Desk()
    desk.held = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        first = tasks.create_task(desk.status())
        await until(lambda: desk.fetches)
        second = tasks.create_task(desk.status())
        await asyncio.sleep(0)
        first.cancel()
        await until(lambda: len(desk.fetches) == 2)
        desk.held.set()

    assert second.result() == 0
    assert desk.outcomes == [FetchOutcome.FETCHED]


async def test_a_failed_fetch_is_not_repeated_for_each_request() -> None:
    desk = Desk()
    desk.failure = FetchFailed(FetchOutcome.STATUS, "status 500")
    for _ in range(100):
        await desk.fails()
    assert len(desk.fetches) == 1
    desk.clock.advance(1)
    desk.failure = None

    assert await desk.status() == 0


@pytest.mark.parametrize(
    ("document", "outcome"),
    [
        (b"", FetchOutcome.MALFORMED),
        (b"<html>", FetchOutcome.MALFORMED),
        ("ü".encode(), FetchOutcome.MALFORMED),
        (list_token(list_claims(b"\x00"), typ="JWT"), FetchOutcome.MALFORMED),
        (list_token(list_claims(b"\x00"), alg="none"), FetchOutcome.MALFORMED),
        (list_token(list_claims(b"\x00"), rsa_key("strangers")), FetchOutcome.MALFORMED),
        (list_token(list_claims(b"\x00"))[:-8] + b"AAAAAAAA", FetchOutcome.MALFORMED),
        (list_token(list_claims(b"\x00", sub=URI + "2")), FetchOutcome.MALFORMED),
        (list_token(list_claims(b"\x00", exp=1_600_000_000)), FetchOutcome.MALFORMED),
    ],
)
async def test_what_is_not_the_issuers_list_is_none(document: bytes, outcome: FetchOutcome) -> None:
    desk = Desk()
    desk.document = document

    await desk.fails()

    assert desk.outcomes == [outcome]


async def test_a_bad_list_does_not_replace_a_good_one() -> None:
    desk = Desk()
    await desk.status()
    desk.clock.advance(80)
    desk.document = b"<html>"
    await desk.source.refresh_due()

    assert desk.source.look_up(ISSUER, URI) is not None


async def test_without_the_issuers_keys_nothing_is_believed() -> None:
    desk = Desk()
    desk.keys.forget(ISSUER)

    await desk.fails()

    assert desk.outcomes == [FetchOutcome.NO_USABLE_KEY]


async def test_another_issuer_has_none() -> None:
    with pytest.raises(StatusListUnavailable):
        await Desk().source.read("https://other.example", URI)


async def test_an_outage_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    desk = Desk()
    desk.failure = FetchFailed(FetchOutcome.STATUS, "status 500")
    for _ in range(10):
        await desk.fails()

    assert caplog.text.count("is not available") == 1


async def test_it_refreshes_until_it_is_cancelled() -> None:
    desk = Desk()
    await desk.status()
    desk.clock.advance(80)
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(desk.source.run())
        await until(lambda: len(desk.fetches) == 2)
        task.cancel()
