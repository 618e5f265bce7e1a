"""The time that a head may take, on a clock that passes by itself."""

import asyncio

from sidecar.fronts.head_watch import HeadWatch
from tests.fakes.virtual_time import VirtualLoop


def test_octets_that_trickle_in_do_not_extend_it() -> None:
    late: list[float] = []

    async def trickle() -> None:
        loop = asyncio.get_running_loop()
        watch, began = HeadWatch(10.0), loop.time()
        for _ in range(30):
            watch.begin(lambda: late.append(loop.time() - began))
            await asyncio.sleep(0.5)

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(trickle())

    assert late == [10.0]


def test_a_head_that_has_come_has_no_deadline_and_the_next_a_new_one() -> None:
    late: list[float] = []

    async def heads() -> None:
        loop = asyncio.get_running_loop()
        watch, began = HeadWatch(10.0), loop.time()
        watch.begin(lambda: late.append(0.0))
        await asyncio.sleep(9.0)
        watch.end()
        await asyncio.sleep(9.0)
        watch.begin(lambda: late.append(loop.time() - began))
        await asyncio.sleep(20.0)
        watch.end()

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(heads())

    assert late == [28.0]
