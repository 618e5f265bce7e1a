"""Answers are remembered by token: bounded, not for long, and without the token."""

from aiocache import SimpleMemoryCache

from sidecar.adapters.answer_memory import AnswerMemory
from sidecar.core.bearer import BearerToken

ACTIVE = {"active": True, "sub": "robot"}


async def test_an_answer_counts_until_its_time_is_over() -> None:
    memory = AnswerMemory(10)
    await memory.remember("a", ACTIVE, 30.0, now=100.0)
    await memory.remember("b", None, 5.0, now=100.0)

    found = [await memory.recall(key, now) for key in "ab" for now in (100.0, 104.9, 105.0, 130.0)]

    assert [each and each.members for each in found[:3]] == [ACTIVE] * 3
    assert found[3] is None
    assert [each is not None for each in found[4:]] == [True, True, False, False]


async def test_nothing_is_kept_for_no_time() -> None:
    memory = AnswerMemory(10)
    await memory.remember("a", ACTIVE, 0.0, now=1.0)

    assert await memory.recall("a", 1.0) is None


async def test_the_latest_answer_counts_whichever_it_was() -> None:
    memory = AnswerMemory(10)
    await memory.remember("a", ACTIVE, 30.0, now=1.0)
    await memory.remember("a", None, 5.0, now=2.0)
    gone = await memory.recall("a", 2.0)
    await memory.remember("a", ACTIVE, 30.0, now=3.0)
    back = await memory.recall("a", 3.0)

    assert gone is not None
    assert gone.members is None
    assert back is not None
    assert back.members == ACTIVE


async def test_it_is_bounded_and_strangers_push_out_strangers_only() -> None:
    memory = AnswerMemory(100)
    await memory.remember("good", ACTIVE, 30.0, now=1.0)
    for number in range(1000):
        await memory.remember(f"bad {number}", None, 5.0, now=1.0)
    kept = [await memory.recall(f"bad {number}", 1.0) is not None for number in range(1000)]

    assert sum(kept) == 100
    assert all(kept[-100:])
    assert await memory.recall("good", 1.0) is not None


async def test_each_memory_knows_a_token_by_a_name_of_its_own() -> None:
    """CVE-2026-33496: an answer of one server is none of another's."""
    token = BearerToken("sesame")
    one, other = AnswerMemory(1), AnswerMemory(1)

    assert one.digest(token) == one.digest(token) != other.digest(token)
    assert "sesame" not in one.digest(token)


async def test_the_library_takes_what_expires_out_and_leaves_no_timer() -> None:
    """A fact of aiocache that the bound of memory rests on."""
    cache = SimpleMemoryCache(timeout=0)
    await cache.set("a", 1, ttl=0.001)
    await cache.set("a", 2, ttl=30)
    await cache.delete("a")

    assert (cache._cache, cache._handlers) == ({}, {})
