"""Jobs that run beside a block."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

Job = Callable[[], Awaitable[None]]


@asynccontextmanager
async def running(*jobs: Job) -> AsyncIterator[None]:
    """Run these for as long as the block; whichever fails ends the block with its exception."""

    async def run(job: Job) -> None:
        await job()

    async with asyncio.TaskGroup() as tasks:
        started = [tasks.create_task(run(job)) for job in jobs]
        try:
            yield
        finally:
            for task in started:
                task.cancel()
