import asyncio
import os
import signal

from sidecar.app.stopping import Stop, stop_on_signals


async def test_sigterm_asks_and_a_second_signal_hurries() -> None:
    async with stop_on_signals() as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(stop.asked.wait(), 5)
        assert not stop.hurried.is_set()
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(stop.hurried.wait(), 5)


async def test_a_person_at_the_terminal_is_in_a_hurry_at_once() -> None:
    stop = Stop()
    stop.hear(signal.SIGINT)

    assert stop.asked.is_set()
    assert stop.hurried.is_set()


async def test_a_pause_lasts_its_time_and_ends_with_a_hurry() -> None:
    stop = Stop()
    await stop.lasts(0.01)

    async with asyncio.TaskGroup() as tasks:
        pause = tasks.create_task(stop.lasts(60))
        await asyncio.sleep(0)
        stop.hurried.set()
        await asyncio.wait_for(pause, 5)
