"""Many changes at once: each is heard, in order, and the event loop has its turns in between."""

import asyncio

from sidecar.adapters.redis_push import KEYS_PER_TURN, PushConnection, connection_for
from sidecar.demo.redis_server import RedisServer

MANY = 10 * KEYS_PER_TURN


async def test_one_push_of_many_keys_is_heard_over_many_turns_and_before_what_follows(
    redis: RedisServer,
) -> None:
    heard: list[int] = []
    turns = 0
    turn_of: list[int] = []

    def hear(changed: list[bytes] | None) -> None:
        assert changed is not None
        heard.append(len(changed))
        turn_of.append(turns)

    async def serve() -> None:
        nonlocal turns
        await connection.ask("CLIENT", "TRACKING", "ON", "BCAST", "PREFIX", "many:")
        words = [word for number in range(MANY) for word in (f"many:{number}", "")]
        # On this connection, so that the push comes between this answer and the next.
        await connection.ask("MSET", *words)
        answered = connection.ask("PING")
        while not answered.done():
            turns += 1
            await asyncio.sleep(0)
        assert sum(heard) == MANY
        running.cancel()

    connection = PushConnection(connection_for(redis.url, {}), hear)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(connection.run(serve, 5.0))

    assert max(heard) == KEYS_PER_TURN
    assert len(set(turn_of)) == len(turn_of)
