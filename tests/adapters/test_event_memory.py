"""Security event tokens are remembered by all sidecars together, while they could come again."""

import pytest

from sidecar.adapters.account_keys import AccountKeys
from sidecar.adapters.event_memory import OwnEventMemory, RedisEventMemory
from sidecar.adapters.redis_client import open_redis
from sidecar.demo.redis_server import RedisServer
from sidecar.ports import StatusUnavailable
from tests.fakes.clock import FakeClock

KEYS = AccountKeys()


async def test_what_one_sidecar_took_the_others_know(redis: RedisServer) -> None:
    async with (
        open_redis(redis.url, {}, KEYS.prefix, 5.0) as client,
        open_redis(redis.url, {}, KEYS.prefix, 5.0) as another,
    ):
        memory, others = RedisEventMemory(client, KEYS), RedisEventMemory(another, KEYS)
        assert not await memory.knows("https://idp", "1")
        await memory.remember("https://idp", "1", 100.5)

        assert await others.knows("https://idp", "1")
        assert not await others.knows("https://idp", "2")
        assert not await others.knows("https://other", "1")
        (name,) = await client.keys("*")
        assert 90 < await client.ttl(name) <= 101
    assert str(name).startswith("used:sidecar:event:")


async def test_whatever_a_transmitter_calls_its_token_it_has_one_key_of_the_same_length(
    redis: RedisServer,
) -> None:
    names = ["a" * 512, "*", "a b\r\nFLUSHALL", "ü", "{x}"]
    async with open_redis(redis.url, {}, KEYS.prefix, 5.0) as client:
        memory = RedisEventMemory(client, KEYS)
        for each in names:
            await memory.remember("https://idp", each, 100)
        assert all([await memory.knows("https://idp", each) for each in names])
        found = await client.keys("*")

    assert len(found) == len(names)
    assert len({len(each) for each in found}) == 1


async def test_without_redis_nobody_can_say() -> None:
    async with open_redis("redis://127.0.0.1:1/0", {}, KEYS.prefix, 0.2) as client:
        memory = RedisEventMemory(client, KEYS)
        with pytest.raises(StatusUnavailable):
            await memory.knows("https://idp", "1")
        with pytest.raises(StatusUnavailable):
            await memory.remember("https://idp", "1", 100)


async def test_one_process_forgets_in_time_and_is_bounded() -> None:
    clock = FakeClock()
    memory = OwnEventMemory(clock)
    await memory.remember("https://idp", "1", 100)
    assert await memory.knows("https://idp", "1")
    clock.advance(100)
    assert not await memory.knows("https://idp", "1")
    for number in range(10_100):
        await memory.remember("https://idp", str(number), 100)

    assert not await memory.knows("https://idp", "99")
    assert await memory.knows("https://idp", "100")
