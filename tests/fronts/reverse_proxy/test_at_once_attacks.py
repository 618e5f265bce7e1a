"""Clients that leave and subjects that are cut, at each stage of a request: nothing is left."""

import asyncio
from collections.abc import Callable

import pytest

from sidecar.ports import CutReason
from tests.fakes.front import read_all, status_of
from tests.fakes.stages import EARLY_STAGES, STAGES, Situation, Stage, at
from tests.fakes.waiting import until


def named(stage: Stage) -> str:
    return stage.name


def close(now: Situation) -> None:
    now.writer.close()


def reset(now: Situation) -> None:
    now.reset()


@pytest.mark.parametrize("leave", [close, reset])
@pytest.mark.parametrize("stage", [*EARLY_STAGES, *STAGES], ids=named)
async def test_a_client_that_leaves_leaves_nothing(
    stage: Stage, leave: Callable[[Situation], None]
) -> None:
    async with at(stage) as now:
        leave(now)
        await until(lambda: len(now.front.proxy._server.connections) == (now.other is not None))
        now.dismiss_other()
        await until(lambda: now.is_clear)

        assert not now.front.world.observer.upstream_failures
        statuses = [status for _, status, _ in now.front.world.observer.answers]
        # Half a head is no request.
        assert len(statuses) == (stage.name != "in mid-head") + (now.other is not None)
        for each in now.upstream.conversations:
            await asyncio.wait_for(each.ended.wait(), 5)
            assert not each.received.endswith(b"0\r\n\r\n") or stage.body.endswith(b"0\r\n\r\n")


@pytest.mark.parametrize("stage", STAGES, ids=named)
async def test_a_cut_ends_a_request_at_every_stage_and_leaves_nothing(stage: Stage) -> None:
    async with at(stage) as now:
        assert now.front.cut() == 1 + (now.other is not None)
        response = await asyncio.wait_for(read_all(now.reader), 5)
        now.writer.close()
        now.dismiss_other()
        await until(lambda: now.is_clear)

        final = response.removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n")
        if stage.cut == 1008:
            assert b"\x88" in final
            assert (1008).to_bytes(2, "big") in final
        elif stage.cut:
            assert status_of(final) == stage.cut
            assert b"Connection: close" in final
            assert final.count(b"HTTP/1.1 ") == 1
        else:
            assert final.endswith(b"begun\r\n")
        for each in now.upstream.conversations:
            await asyncio.wait_for(each.ended.wait(), 5)
        assert not now.front.world.observer.upstream_failures


@pytest.mark.parametrize("stage", STAGES, ids=named)
async def test_who_is_cut_and_leaves_in_the_same_turn_leaves_nothing(stage: Stage) -> None:
    async with at(stage) as now:
        now.front.cut(CutReason.STATUS_UNAVAILABLE)
        now.reset()
        now.dismiss_other()
        await until(lambda: now.is_clear)

        assert len(now.front.world.observer.answers) == 1 + (now.other is not None)


@pytest.mark.parametrize("stage", STAGES, ids=named)
async def test_the_end_of_a_drain_cuts_a_request_at_every_stage(stage: Stage) -> None:
    async with at(stage) as now:
        await asyncio.wait_for(now.front.proxy.drain(0.05), 5)
        await asyncio.wait_for(read_all(now.reader), 5)
        now.writer.close()
        now.dismiss_other()
        await until(lambda: now.is_clear)


@pytest.mark.parametrize("stage", STAGES, ids=named)
async def test_the_pools_end_ends_a_request_at_every_stage(stage: Stage) -> None:
    async with at(stage) as now:
        await asyncio.wait_for(now.front.parts.upstream.__aexit__(None, None, None), 5)
        response = await asyncio.wait_for(read_all(now.reader), 5)
        now.writer.close()
        now.dismiss_other()
        await until(lambda: now.is_clear)

        assert stage.cut != 401 or b"HTTP/1.1 502" in response
