"""A task that was told to end does so, also where that came out as something else."""

import asyncio

import pytest

from sidecar.cancelling import check_not_cancelled


async def test_who_was_not_told_to_end_goes_on() -> None:
    check_not_cancelled()


async def test_who_was_told_to_end_does_although_the_telling_was_swallowed() -> None:
    asked, went_on = asyncio.Event(), False

    async def work() -> None:
        nonlocal went_on
        try:
            asked.set()
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            went_on = True
        check_not_cancelled()

    task = asyncio.get_running_loop().create_task(work())
    await asked.wait()
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert went_on


async def test_a_deadline_that_is_over_is_no_telling() -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await asyncio.Event().wait()

    check_not_cancelled()
