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


async def standing(figure: Callable[[], int], seconds: float = 20.0) -> int:
    """Return a figure once it has stopped changing; fail after ``seconds``."""
    async with asyncio.timeout(seconds):
        before, last = -1, figure()
        while before != last:
            await asyncio.sleep(0.15)
            before, last = last, figure()
    return last
