"""A cancellation that a library has taken for a failure of its own still ends the task.

A client of Redis tidies its connection up while it is cancelled, and where that fails it is the
failure that comes out (redis-py 8.1: UNWATCH at the end of a pipeline). A job that bears failures
would then go on, and whoever waits for its end would wait for ever.
"""

import asyncio


def check_not_cancelled() -> None:
    """Raise ``CancelledError`` where the running task was told to end and goes on all the same."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
