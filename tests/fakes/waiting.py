"""Waiting for a condition instead of for luck: polls until it holds or the deadline passes."""

import asyncio
from collections.abc import Awaitable, Callable

from redis.exceptions import RedisError


async def until(condition: Callable[[], object], seconds: float = 10.0) -> None:
    """Return once ``condition`` is true; fail after ``seconds``."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - the condition is the program's own state
            await asyncio.sleep(0.001)


async def until_async(condition: Callable[[], Awaitable[object]], seconds: float = 10.0) -> None:
    """As ``until``, for a condition that has to be asked for; an error of Redis is a no."""
    async with asyncio.timeout(seconds):
        while True:
            try:
                if await condition():
                    return
            except RedisError:
                pass
            await asyncio.sleep(0.02)
