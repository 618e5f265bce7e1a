"""Waiting for a condition instead of for luck: polls until it holds or the deadline passes."""

import asyncio
from collections.abc import Callable


async def until(condition: Callable[[], object], seconds: float = 10.0) -> None:
    """Return once ``condition`` is true; fail after ``seconds``."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - the condition is the program's own state
            await asyncio.sleep(0.001)
