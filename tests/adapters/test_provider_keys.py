"""The bookkeeping of one provider's keys, on times of the test's choosing."""

import asyncio

from sidecar.adapters.jwks import KeySet
from sidecar.adapters.provider_keys import MAX_NAMED_KIDS, KeyPolicy, Provider, ProviderKeys
from sidecar.core.issuer import Issuer
from tests.fakes.tokens import ec_key, key_set

POLICY = KeyPolicy(max_age=100, max_stale=1000, cool_down=30)


def keys() -> ProviderKeys:
    return ProviderKeys(Provider(Issuer("https://idp.example")), POLICY)


def found(name: str) -> KeySet:
    return KeySet(key_set([ec_key()]), (), frozenset({(name, b"", frozenset())}))


async def test_keys_serve_until_they_are_too_stale() -> None:
    provider = keys()
    assert provider.usable(0) is None

    provider.install(found("a"), 1, fresh_at=10)

    assert provider.usable(1010) is not None
    assert provider.usable(1010.1) is None


async def test_the_same_keys_keep_their_generation() -> None:
    provider = keys()

    assert provider.install(found("a"), 1, 0)
    assert not provider.install(found("a"), 2, 5)
    unchanged = provider.usable(5)
    assert provider.install(found("b"), 3, 6)
    changed = provider.usable(6)

    assert unchanged is not None
    assert unchanged.generation == 1
    assert changed is not None
    assert changed.generation == 3


async def test_a_key_is_settled_by_a_fetch_that_began_after_it_was_named() -> None:
    provider = keys()
    provider.name("new", 100)
    assert provider.is_unsettled("new")

    provider.end(began=99, now=101, succeeded=True)
    assert provider.is_unsettled("new")
    provider.end(began=100, now=102, succeeded=False)
    assert provider.is_unsettled("new")
    provider.end(began=131, now=132, succeeded=True)
    assert not provider.is_unsettled("new")

    assert provider.is_unsettled("never named")


async def test_what_is_remembered_of_strangers_keys_is_bounded() -> None:
    provider = keys()
    for number in range(10_000):
        provider.name(f"k{number}", number)

    assert len(provider._named) == MAX_NAMED_KIDS
    provider.name("k9999", 20_000)
    provider.end(began=15_000, now=15_001, succeeded=True)
    assert not provider.is_unsettled("k9999")


async def test_all_who_ask_share_one_fetch_and_the_cool_down_follows_it() -> None:
    provider = keys()
    first = provider.join(0)

    assert first is not None
    assert provider.wanted.is_set()
    assert provider.join(0) is first
    provider.begin()
    assert not provider.wanted.is_set()
    assert provider.join(1) is first
    assert not provider.is_resting(1)
    provider.end(began=0, now=2, succeeded=False)
    await asyncio.wait_for(first, 1)
    assert provider.is_resting(31.9)
    assert provider.join(31.9) is None
    assert provider.join(32) is not None


async def test_whoever_comes_during_a_fetch_joins_it() -> None:
    provider = keys()
    provider.begin()

    assert provider.join(0) is not None
    assert not provider.wanted.is_set()


async def test_failures_are_counted_until_a_success() -> None:
    provider = keys()
    provider.end(0, 1, succeeded=False)
    provider.end(1, 2, succeeded=False)
    assert provider.failures == 2
    provider.end(2, 3, succeeded=True)
    assert provider.failures == 0


async def test_a_fetch_by_the_clock_cools_nothing() -> None:
    """The provider may rotate right after it, and the first new token must not wait."""
    provider = keys()
    provider.begin()
    provider.end(began=0, now=1, succeeded=True)

    assert provider.join(1) is not None


async def test_a_fetch_by_the_clock_that_fails_cools_down() -> None:
    provider = keys()
    provider.begin()
    provider.end(began=0, now=1, succeeded=False)

    assert provider.join(30.9) is None
