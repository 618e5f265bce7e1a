"""Keys that change, vanish or are asked for by strangers, as the decision meets them (K1 to K13).

The real source of keys and the real decision, over a clock that stands still until told and a
provider that is played: what is counted here are fetches and refused good tokens.
"""

import asyncio
import itertools
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from sidecar.adapters.bounded_fetch import FetchFailed
from sidecar.adapters.key_snapshot import KeySnapshot
from sidecar.adapters.key_source import JwksKeySource, KeyPolicy, Provider
from sidecar.authorize import Authorizer
from sidecar.core.issuer import Issuer
from sidecar.core.routes import Routes
from sidecar.ports import FetchOutcome
from sidecar.rules import Rules
from tests.attacks.tables import verdict
from tests.fakes.clock import FakeClock
from tests.fakes.observer import RecordingObserver
from tests.fakes.played_provider import KEYS_URL, PlayedProvider
from tests.fakes.tokens import SigningKey, ec_key, rsa_key
from tests.fakes.waiting import until
from tests.fakes.world import ISSUERS, ROUTES, World

DOWN = FetchFailed(FetchOutcome.UNREACHABLE, "refused")
POLICY = KeyPolicy()


@dataclass
class Gate:
    """The decision over a real source of keys. ``world`` signs, and holds the accounts."""

    world: World
    provider: PlayedProvider
    source: JwksKeySource
    clock: FakeClock
    verdicts: Counter[str] = field(default_factory=Counter)

    async def ask(self, key: SigningKey, *, kid: str | None = None, signed: bool = True) -> str:
        token = self.world.sign(
            key=key, header={"kid": kid or key.kid}, iat=None, exp=2_000_000_000
        )
        if not signed:
            token = token[:-4] + ("AAAA" if token[-4:] != "AAAA" else "BBBA")
        found = verdict(await self.world.wait_for("GET", "/reports", token=token))
        self.verdicts[found] += 1
        return found


@asynccontextmanager
async def gate(
    provider: PlayedProvider | None = None,
    *,
    clock: FakeClock | None = None,
    snapshot: KeySnapshot | None = None,
    issuers: tuple[Issuer, ...] = ISSUERS,
) -> AsyncIterator[Gate]:
    provider, clock = provider or PlayedProvider(), clock or FakeClock()
    world, observer = World(issuers=issuers), RecordingObserver()
    source = JwksKeySource(
        [Provider(issuer, KEYS_URL) for issuer in issuers],
        POLICY, provider.fetch, clock, observer, snapshot,
    )  # fmt: skip
    world.authorizer = Authorizer(
        Rules(Routes(ROUTES), {issuer.name: issuer for issuer in issuers}),
        source, world.accounts, clock, world.remembered, world.observer,
    )  # fmt: skip
    async with asyncio.TaskGroup() as tasks:
        run = tasks.create_task(source.run())
        await until(lambda: len(observer.fetches) == len(issuers))
        yield Gate(world, provider, source, clock)
        run.cancel()


async def test_a_flood_of_unknown_kids_is_one_fetch_and_delays_no_rotation_beyond_it() -> None:
    """K1, bar 9: ten thousand kids; then a rotation, found as soon as the cool-down allows."""
    async with gate() as at:
        for number in range(10_000):
            await at.ask(ec_key(), kid=f"random-{number}")
            at.clock.advance(0.001)
        assert at.provider.key_fetches == 2
        # The first was asked for; of the others nothing is known, so they are not told "no".
        assert at.verdicts == {"unknown_key": 1, "keys_unavailable": 9_999}
        assert await at.ask(rsa_key()) == "granted"

        at.provider.signing.append(ec_key("new"))
        at.clock.advance(POLICY.cool_down - 11)
        assert await at.ask(ec_key("new")) == "keys_unavailable"
        assert at.provider.key_fetches == 2
        at.clock.advance(1.1)
        assert await at.ask(ec_key("new")) == "granted"
        assert at.provider.key_fetches == 3


async def test_a_flood_of_bad_signatures_of_a_known_kid_is_one_fetch_too() -> None:
    async with gate() as at:
        for _ in range(2):
            for number in range(500):
                await at.ask(rsa_key(), signed=False, kid="rsa")
                await at.ask(replace(rsa_key("stranger"), kid="rsa")) if number < 5 else None
            at.clock.advance(POLICY.cool_down)

        assert at.provider.key_fetches == 3
        assert set(at.verdicts) == {"bad_signature"}


async def test_a_flood_at_one_issuer_delays_no_other() -> None:
    other = replace(ISSUERS[0], name="https://other.example")
    async with gate(issuers=(*ISSUERS, other)) as at:
        for number in range(100):
            await at.ask(ec_key(), kid=f"random-{number}")
        fetches = at.provider.key_fetches
        at.provider.signing.append(ec_key("new"))
        token = at.world.sign(key=ec_key("new"), iss=other.name)

        assert verdict(await at.world.wait_for("GET", "/reports", token=token)) == "granted"
        assert at.provider.key_fetches == fetches + 1


async def test_a_hundred_rotations_refuse_no_good_token() -> None:
    """K2, bar 10: many ask at once, old tokens and new ones, and each answer takes its time."""
    keys = [ec_key(f"generation-{number}") for number in range(101)]
    async with gate(PlayedProvider(keys[:1])) as at:
        for old, new in itertools.pairwise(keys):
            at.provider.signing = [old, new]
            at.provider.held = asyncio.Event()
            fetches = at.provider.key_fetches
            async with asyncio.TaskGroup() as tasks:
                for number in range(20):
                    tasks.create_task(at.ask(new if number % 2 else old))
                await until(lambda: at.provider.key_fetches == fetches + 1)  # noqa: B023
                at.provider.held.set()
            at.provider.held = None
            assert at.provider.key_fetches == fetches + 1
            at.clock.advance(POLICY.cool_down)

        assert at.verdicts == {"granted": 2_000}


async def test_a_removed_key_is_good_for_nobody_though_its_tokens_were_remembered() -> None:
    """K3, bar 11."""
    async with gate(PlayedProvider([rsa_key(), ec_key("leaked")])) as at:
        assert await at.ask(ec_key("leaked")) == "granted"
        at.provider.signing = [rsa_key()]
        at.clock.advance(POLICY.cool_down)
        assert await at.ask(ec_key(), kid="any") == "unknown_key"

        assert await at.ask(ec_key("leaked")) in ("unknown_key", "keys_unavailable")
        at.clock.advance(POLICY.cool_down)
        assert await at.ask(ec_key("leaked")) == "unknown_key"
        assert await at.ask(rsa_key()) == "granted"


async def test_new_material_under_an_old_kid_is_found_and_the_old_is_refused() -> None:
    """K4."""
    old, new = ec_key("one"), replace(ec_key("two"), kid="one")
    async with gate(PlayedProvider([old])) as at:
        assert await at.ask(old) == "granted"
        at.provider.signing = [new]

        assert await at.ask(new) == "granted"
        at.clock.advance(POLICY.cool_down)
        assert await at.ask(old) == "bad_signature"


async def test_a_provider_that_is_down_for_an_hour_is_not_missed_and_then_nobody_is_told_no() -> (
    None
):
    """K5, K13: keys grow stale by the time that passes, whatever the wall clock says."""
    async with gate() as at:
        at.provider.failure = DOWN
        at.clock.step(-86_400)
        for _ in range(int(POLICY.max_stale) // 60):
            at.clock.advance(60)
            assert await at.ask(rsa_key()) == "granted"
        at.clock.advance(1)
        assert await at.ask(rsa_key()) == "keys_unavailable"

        at.provider.failure = None
        at.clock.advance(POLICY.cool_down)
        assert await at.ask(rsa_key()) == "granted"


async def test_a_provider_that_is_down_at_start_is_waited_for() -> None:
    """K10."""
    async with gate(PlayedProvider(failure=DOWN)) as at:
        assert await at.ask(rsa_key()) == "keys_unavailable"
        assert await at.ask(replace(rsa_key("stranger"), kid="rsa")) == "keys_unavailable"

        at.provider.failure = None
        at.clock.advance(POLICY.cool_down)
        assert await at.ask(rsa_key()) == "granted"


async def test_a_restart_while_the_provider_is_down_goes_on_with_the_keys_saved(
    tmp_path: Path,
) -> None:
    clock, snapshot = FakeClock(), KeySnapshot(tmp_path)
    async with gate(clock=clock, snapshot=snapshot):
        await until(lambda: list(tmp_path.glob("keys-*.json")))
    clock.advance(POLICY.max_stale - 1)
    async with gate(PlayedProvider(failure=DOWN), clock=clock, snapshot=snapshot) as at:
        assert await at.ask(rsa_key()) == "granted"
        assert await at.ask(replace(rsa_key("stranger"), kid="rsa")) == "bad_signature"
        clock.advance(2)
        assert await at.ask(rsa_key()) == "keys_unavailable"


@pytest.mark.parametrize("tenant", range(3))
async def test_only_an_issuers_own_keys_sign_for_it(tenant: int) -> None:
    """J14, K15, bar 7: three issuers, one kid, three of nine are accepted."""
    issuers = [replace(ISSUERS[0], name=f"https://tenant-{each}.example") for each in range(3)]
    world = World(issuers=issuers)
    keys = [replace(ec_key(f"tenant-{each}"), kid="key") for each in range(3)]
    for issuer, key in zip(issuers, keys, strict=True):
        world.keys.publish(issuer.name, {"key": (key.verification_key(),)})
    found = [
        verdict(
            await world.wait_for(
                "GET", "/reports", token=world.sign(key=key, iss=issuers[tenant].name)
            )
        )
        for key in keys
    ]

    expected = ["bad_signature"] * 3
    expected[tenant] = "granted"
    assert found == expected
