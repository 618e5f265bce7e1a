"""The source of keys against a real provider, and against one that the test plays (K1 to K13)."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import pytest
from typing_extensions import override

from sidecar.adapters.bounded_fetch import FetchFailed
from sidecar.adapters.clock import SystemClock
from sidecar.adapters.key_snapshot import KeySnapshot
from sidecar.adapters.key_source import JwksKeySource, KeyPolicy, Provider
from sidecar.adapters.provider_client import ProviderClient
from sidecar.core.issuer import Issuer
from sidecar.demo.identity_provider import IdentityProvider, Outage
from sidecar.ports import FetchOutcome
from tests.fakes.clock import FakeClock
from tests.fakes.observer import RecordingObserver
from tests.fakes.played_provider import KEYS_URL, PlayedProvider
from tests.fakes.tokens import SigningKey, ec_key, rsa_key
from tests.fakes.waiting import until

ISSUER = "https://idp.example"
RULES = Issuer(ISSUER, algorithms=frozenset({"RS256", "ES256"}))


@dataclass
class Bench:
    provider: PlayedProvider
    source: JwksKeySource
    clock: FakeClock
    observer: RecordingObserver

    @property
    def kids(self) -> set[str]:
        keys = self.source.keys(ISSUER)
        return set() if keys is None else set(keys.by_kid)

    async def loaded(self) -> None:
        await until(lambda: self.observer.fetches)


@asynccontextmanager
async def running(
    provider: PlayedProvider | None = None,
    *,
    jwks_url: str | None = KEYS_URL,
    snapshot: KeySnapshot | None = None,
    clock: FakeClock | None = None,
) -> AsyncIterator[Bench]:
    provider = provider or PlayedProvider()
    clock = clock or FakeClock()
    observer = RecordingObserver()
    source = JwksKeySource(
        [Provider(RULES, jwks_url)], KeyPolicy(), provider.fetch, clock, observer, snapshot
    )
    async with asyncio.TaskGroup() as tasks:
        run = tasks.create_task(source.run())
        yield Bench(provider, source, clock, observer)
        run.cancel()


async def test_keys_are_loaded_at_start() -> None:
    async with running() as bench:
        assert not bench.source.is_ready()
        await bench.loaded()

        assert bench.source.is_ready()
        assert bench.kids == {"rsa"}
        assert bench.observer.loads == [(ISSUER, 1, bench.clock.now())]
        assert bench.observer.fetches[0][:2] == (ISSUER, FetchOutcome.FETCHED)
        assert bench.source.keys("https://other.example") is None


async def test_without_an_address_the_keys_are_found_by_discovery_once() -> None:
    async with running(jwks_url=None) as bench:
        await bench.loaded()
        bench.clock.advance(60)
        await bench.source.refresh(ISSUER, "new")

        assert bench.kids == {"rsa"}
        assert bench.provider.fetched == [
            f"{ISSUER}/.well-known/openid-configuration",
            KEYS_URL,
            KEYS_URL,
        ]


async def test_keys_that_moved_are_found_again() -> None:
    async with running(jwks_url=None) as bench:
        await bench.loaded()
        bench.provider.jwks_url = "https://keys.example/moved"
        bench.provider.signing = [ec_key()]
        for _ in range(2):
            bench.clock.advance(60)
            await bench.source.refresh(ISSUER, "ec")

        assert bench.kids == {"ec"}


async def test_where_discovery_fails_its_first_failure_is_told() -> None:
    provider = PlayedProvider(failure=FetchFailed(FetchOutcome.UNREACHABLE, "refused"))
    async with running(provider, jwks_url=None) as bench:
        await bench.loaded()

        assert bench.observer.fetches[0][1] is FetchOutcome.UNREACHABLE
        assert len(provider.fetched) == 2


async def test_where_the_keys_are_is_asked_again_after_an_hour() -> None:
    """A provider that moved its keys may answer at the old place for a while."""
    async with running(jwks_url=None) as bench:
        await bench.loaded()
        (expiry,) = bench.source._addresses._handlers.values()

        assert 3590 < expiry.when() - asyncio.get_running_loop().time() <= 3600


async def test_a_document_that_did_not_change_is_read_once() -> None:
    async with running() as bench:
        await bench.loaded()
        first = await bench.source._documents.get(ISSUER)
        bench.clock.advance(60)
        await bench.source.refresh(ISSUER, "x")
        again = await bench.source._documents.get(ISSUER)
        bench.provider.signing.append(ec_key("new"))
        bench.clock.advance(60)
        await bench.source.refresh(ISSUER, "new")
        changed = await bench.source._documents.get(ISSUER)

    assert bench.provider.key_fetches == 3
    assert again is first
    assert changed is not first


async def test_a_rotated_key_is_there_after_one_refresh() -> None:
    """K2."""
    async with running() as bench:
        await bench.loaded()
        bench.clock.advance(60)
        bench.provider.signing.append(ec_key("new"))

        await bench.source.refresh(ISSUER, "new")

        assert bench.kids == {"rsa", "new"}
        assert not bench.source.is_unsettled(ISSUER, "new")


async def test_a_key_rotated_right_after_a_scheduled_fetch_is_there_at_once() -> None:
    async with running() as bench:
        await bench.loaded()
        bench.clock.advance(0.001)
        bench.provider.signing.append(ec_key("new"))

        await bench.source.refresh(ISSUER, "new")

        assert bench.kids == {"rsa", "new"}


async def test_one_provider_that_is_down_makes_nobody_unready() -> None:
    observer = RecordingObserver()
    provider = PlayedProvider()

    async def fetch(url: str, of: Provider) -> bytes:
        if of.issuer.name == "https://down.example":
            raise FetchFailed(FetchOutcome.UNREACHABLE, "refused")
        return await provider.fetch(url, of)

    down = Provider(Issuer("https://down.example"), "https://down.example/keys")
    source = JwksKeySource(
        [Provider(RULES, KEYS_URL), down], KeyPolicy(), fetch, FakeClock(), observer
    )
    async with asyncio.TaskGroup() as tasks:
        run = tasks.create_task(source.run())
        await until(lambda: len(observer.fetches) == 2)
        assert source.is_ready()
        assert source.keys("https://down.example") is None
        run.cancel()


async def test_a_flood_of_unknown_keys_causes_one_fetch_per_cool_down() -> None:
    """K1; PyJWT's CVE-2026-48524 was one fetch per token."""
    async with running() as bench:
        await bench.loaded()
        for minute in range(3):
            for number in range(10_000):
                await bench.source.refresh(ISSUER, f"random-{minute}-{number}")
            assert bench.provider.key_fetches == 2 + minute
            bench.clock.advance(0.001)
            assert bench.source.is_resting(ISSUER, f"late-{minute}")
            await bench.source.refresh(ISSUER, f"late-{minute}")
            assert bench.source.is_unsettled(ISSUER, f"late-{minute}")
            bench.clock.advance(31)
            assert not bench.source.is_resting(ISSUER, f"late-{minute}")
            assert bench.source.is_resting("https://stranger.example", None)
        bench.provider.signing.append(ec_key("new"))
        await bench.source.refresh(ISSUER, "new")

        assert bench.kids == {"rsa", "new"}


async def test_ten_thousand_who_wait_share_one_fetch() -> None:
    """K12."""
    async with running() as bench:
        await bench.loaded()
        bench.clock.advance(60)
        bench.provider.held = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            for number in range(10_000):
                tasks.create_task(bench.source.refresh(ISSUER, f"k{number}"))
            await until(lambda: bench.provider.key_fetches == 2)
            bench.provider.held.set()

        assert bench.provider.key_fetches == 2


async def test_whoever_gives_up_waiting_takes_the_fetch_from_nobody() -> None:
    async with running() as bench:
        await bench.loaded()
        bench.clock.advance(60)
        bench.provider.held = asyncio.Event()
        bench.provider.signing.append(ec_key("new"))
        async with asyncio.TaskGroup() as tasks:
            leaving = tasks.create_task(bench.source.refresh(ISSUER, "new"))
            staying = tasks.create_task(bench.source.refresh(ISSUER, "new"))
            await until(lambda: bench.provider.key_fetches == 2)
            leaving.cancel()
            await asyncio.sleep(0)
            bench.provider.held.set()
            await staying

        assert "new" in bench.kids


async def test_a_removed_key_is_trusted_until_the_next_refresh_and_no_longer() -> None:
    """K3; go-oidc keeps it for ever."""
    provider = PlayedProvider([rsa_key(), ec_key("old")])
    async with running(provider) as bench:
        await bench.loaded()
        before = bench.source.keys(ISSUER)
        provider.signing = [rsa_key()]
        bench.clock.advance(60)
        await bench.source.refresh(ISSUER, "x")
        after = bench.source.keys(ISSUER)

        assert bench.kids == {"rsa"}
        assert before is not None
        assert after is not None
        assert after.generation != before.generation


async def test_new_material_under_an_old_kid_is_a_new_generation() -> None:
    """K4."""
    provider = PlayedProvider([rsa_key("k")])
    async with running(provider) as bench:
        await bench.loaded()
        before = bench.source.keys(ISSUER)
        provider.signing = [SigningKey("k", "RS256", rsa_key("another").private)]
        bench.clock.advance(60)
        await bench.source.refresh(ISSUER, "k")
        after = bench.source.keys(ISSUER)

        assert before is not None
        assert after is not None
        assert after.generation != before.generation


async def test_an_unchanged_set_keeps_its_generation_and_gets_younger() -> None:
    async with running() as bench:
        await bench.loaded()
        before = bench.source.keys(ISSUER)
        bench.clock.advance(3000)
        await bench.source.refresh(ISSUER, "x")
        bench.clock.advance(3000)

        assert bench.source.keys(ISSUER) is before


async def test_a_failure_keeps_the_keys_until_they_are_too_stale_and_cools_down_too() -> None:
    async with running() as bench:
        await bench.loaded()
        bench.provider.failure = FetchFailed(FetchOutcome.TIMEOUT, "slow")
        bench.clock.advance(60)
        await bench.source.refresh(ISSUER, "new")
        fetches = bench.provider.key_fetches
        await bench.source.refresh(ISSUER, "new")

        assert bench.provider.key_fetches == fetches
        assert bench.kids == {"rsa"}
        assert bench.source.is_unsettled(ISSUER, "new")
        bench.clock.advance(3600)
        assert bench.source.keys(ISSUER) is None
        assert not bench.source.is_ready()


async def test_that_there_is_no_key_is_told() -> None:
    """Else no alert could ask for it: whose keys never came was no series at all."""
    provider = PlayedProvider()
    provider.failure = FetchFailed(FetchOutcome.UNREACHABLE, "refused")
    async with running(provider) as bench:
        await bench.loaded()
        assert bench.observer.loads == [(ISSUER, 0, 0.0)]

        provider.failure = None
        bench.clock.advance(60)
        await bench.source.refresh(ISSUER, "rsa")
        provider.failure = FetchFailed(FetchOutcome.UNREACHABLE, "refused")
        for _ in range(2):
            bench.clock.advance(3000)
            await bench.source.refresh(ISSUER, "new")

        # Once more 1 while the keys of before serve, which others may have denied meanwhile.
        assert [keys for _, keys, _ in bench.observer.loads] == [0, 1, 1, 0]


async def test_a_defect_of_the_fetch_ends_nothing() -> None:
    async with running() as bench:
        await bench.loaded()
        bench.provider.failure = RuntimeError("a bug")
        bench.clock.advance(60)
        await bench.source.refresh(ISSUER, "new")
        bench.provider.failure = None
        bench.provider.signing.append(ec_key("new"))
        bench.clock.advance(60)
        await bench.source.refresh(ISSUER, "new")

        assert "new" in bench.kids


async def test_the_wall_clock_makes_keys_neither_older_nor_younger() -> None:
    """K13."""
    async with running() as bench:
        await bench.loaded()
        bench.clock.step(86400)
        assert bench.kids == {"rsa"}
        bench.clock.step(-2 * 86400)
        bench.clock.advance(3601)
        assert bench.kids == set()


async def test_keys_are_asked_for_again_by_themselves() -> None:
    clock = FakeClock()
    observer = RecordingObserver()
    provider = PlayedProvider()
    policy = KeyPolicy(max_age=0.02)
    source = JwksKeySource([Provider(RULES, KEYS_URL)], policy, provider.fetch, clock, observer)
    async with asyncio.TaskGroup() as tasks:
        run = tasks.create_task(source.run())
        await until(lambda: provider.key_fetches > 3)
        run.cancel()


async def test_a_provider_that_is_down_is_asked_again_after_a_second_or_more() -> None:
    provider = PlayedProvider(failure=FetchFailed(FetchOutcome.UNREACHABLE, "refused"))
    async with running(provider) as bench:
        await bench.loaded()
        pauses = []
        keys = bench.source._providers[ISSUER]
        for failures in range(1, 40):
            keys.failures = failures
            pauses.append(bench.source._pause(keys))

        assert min(pauses) >= 1.0
        assert max(pauses) <= 2.0  # without any key nothing can be granted: ask soon
        provider.failure = None
        await bench.source.refresh(ISSUER, None)
        bench.clock.advance(31)
        await bench.source.refresh(ISSUER, None)
        keys.failures = 20
        assert 15.0 <= bench.source._pause(keys) <= 30.0


async def test_a_snapshot_lets_a_restart_survive_an_outage(tmp_path: Path) -> None:
    snapshot = KeySnapshot(tmp_path)
    clock = FakeClock()
    async with running(snapshot=snapshot, clock=clock):
        await until(lambda: list(tmp_path.glob("keys-*.json")))

    down = PlayedProvider(failure=FetchFailed(FetchOutcome.UNREACHABLE, "refused"))
    clock.advance(3000)
    async with running(down, snapshot=snapshot, clock=clock) as bench:
        await bench.loaded()
        assert bench.kids == {"rsa"}
        clock.advance(601)
        assert bench.kids == set()


async def test_whoever_waits_for_keys_does_not_wait_for_the_disk(tmp_path: Path) -> None:
    writing = asyncio.Event()

    class StuckDisk(KeySnapshot):
        @override
        async def save(self, issuer: str, document: bytes, fetched_at: float) -> None:
            writing.set()
            await asyncio.Event().wait()

    async with running(snapshot=StuckDisk(tmp_path)) as bench:
        await asyncio.wait_for(bench.source.refresh(ISSUER, "rsa"), 10)
        assert bench.kids == {"rsa"}
        await writing.wait()


@pytest.mark.parametrize("step", [3601.0, -60.0])
async def test_a_snapshot_that_is_too_old_or_of_the_future_is_no_key(
    tmp_path: Path, step: float
) -> None:
    snapshot = KeySnapshot(tmp_path)
    clock = FakeClock()
    async with running(snapshot=snapshot, clock=clock):
        await until(lambda: list(tmp_path.glob("keys-*.json")))
    clock.step(step)

    down = PlayedProvider(failure=FetchFailed(FetchOutcome.UNREACHABLE, "refused"))
    async with running(down, snapshot=snapshot, clock=clock) as bench:
        await bench.loaded()
        assert bench.kids == set()


async def test_a_snapshot_without_a_usable_key_is_passed_over(tmp_path: Path) -> None:
    snapshot = KeySnapshot(tmp_path)
    await snapshot.save(ISSUER, b'{"keys":[]}', FakeClock().now())
    async with running(snapshot=snapshot) as bench:
        await bench.loaded()
        assert bench.kids == {"rsa"}


async def test_a_broken_provider_never_takes_good_keys_away() -> None:
    """K5, against a real server in every one of its failures, and well again after it."""
    observer = RecordingObserver()
    async with IdentityProvider() as provider, ProviderClient(0.3, 524_288) as client:
        rules = Issuer(provider.issuer)
        source = JwksKeySource(
            [Provider(rules, insecure_http=True)],
            KeyPolicy(cool_down=0.0),
            client.fetch,
            SystemClock(),
            observer,
        )
        async with asyncio.TaskGroup() as tasks:
            run = tasks.create_task(source.run())
            await until(source.is_ready)
            modes = [mode for each in get_args(Outage) for mode in get_args(each) or (each,)]
            assert len(modes) == 8
            for mode in modes:
                provider.outage = mode
                await source.refresh(provider.issuer, "new")
                assert observer.fetches[-1][1] is not FetchOutcome.FETCHED, mode
                assert source.keys(provider.issuer) is not None
            provider.outage = None
            kid = provider.rotate()
            await source.refresh(provider.issuer, kid)
            keys = source.keys(provider.issuer)
            run.cancel()

    assert keys is not None
    assert set(keys.by_kid) == set(provider.kids)


async def test_an_issuer_that_is_not_ours_is_never_asked_for() -> None:
    async with running() as bench:
        await bench.loaded()
        await bench.source.refresh("https://evil.example", "k")

        assert not bench.source.is_unsettled("https://evil.example", "k")
        assert bench.provider.fetched == [KEYS_URL]
