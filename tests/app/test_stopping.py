import asyncio
import os
import signal
import threading

from sidecar.app.stopping import RELIEF, Stop, hangups, keep_hangups, stop_on_signals


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


async def test_a_worker_is_patient_with_signals_that_come_twice_and_hears_its_relief() -> None:
    async with stop_on_signals(as_worker=True) as stop:
        for _ in range(2):
            stop.hear(signal.SIGTERM)
        assert not stop.hurried.is_set()
        assert not stop.is_relieved

        os.kill(os.getpid(), RELIEF)
        async with asyncio.timeout(5):
            while not stop.is_relieved:  # noqa: ASYNC110
                await asyncio.sleep(0.001)


async def test_followers_hear_what_is_heard() -> None:
    stop, follower = Stop(), Stop()
    stop.followers.append(follower)
    stop.hear(signal.SIGTERM)
    assert follower.asked.is_set()
    assert not follower.hurried.is_set()

    stop.hear(signal.SIGTERM)
    assert follower.hurried.is_set()


async def test_every_hangup_is_heard() -> None:
    async with hangups() as heard:
        for _ in range(2):
            heard.clear()
            os.kill(os.getpid(), signal.SIGHUP)
            await asyncio.wait_for(heard.wait(), 5)


async def test_a_hangup_that_comes_before_anybody_listens_is_kept() -> None:
    keep_hangups()
    # To this thread, which is the only one while the sidecar starts. It would end the process.
    signal.pthread_kill(threading.get_ident(), signal.SIGHUP)

    async with hangups() as heard:
        await asyncio.wait_for(heard.wait(), 5)
