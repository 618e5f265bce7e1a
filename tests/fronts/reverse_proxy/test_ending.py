"""The end of a client's connection, on transports that do what a test wants."""

from collections.abc import Callable

import pytest

from sidecar.fronts.reverse_proxy.ending import Ending
from sidecar.fronts.reverse_proxy.pace import BodyRate
from sidecar.fronts.reverse_proxy.reading import Reading
from tests.fakes.observer import RecordingObserver
from tests.fakes.transport import FakeTransport
from tests.fakes.waiting import until


def ending_within(seconds: float) -> Ending:
    return Ending(Reading(BodyRate(grace=seconds), RecordingObserver(), lambda _: 0))


async def test_our_side_ends_first_and_what_still_comes_is_read() -> None:
    transport, ending = FakeTransport(), ending_within(10)

    assert ending.begin(transport)
    assert transport.done == ["end", "resume"]
    assert ending.is_idle
    ending.finish(transport)
    ending.stop()
    assert transport.done == ["end", "resume", "close"]


async def test_one_that_cannot_end_its_side_alone_is_told_apart() -> None:
    tls, gone, closing = FakeTransport(can_end=False), FakeTransport(), FakeTransport()
    gone.failure = OSError("not connected")
    closing.close()
    ending = ending_within(10)

    for transport in (tls, gone, closing):
        assert not ending.begin(transport)
    assert ending.transport is None
    assert not ending.is_idle


async def test_what_is_not_read_in_time_is_reset() -> None:
    transport, ending = FakeTransport(unwritten=1), ending_within(0.05)

    ending.finish(transport)
    assert transport.done == ["close"]
    assert ending.is_stuck
    await until(lambda: transport.done == ["close", "abort"])


@pytest.mark.parametrize("before", [FakeTransport.close, FakeTransport.abort])
async def test_what_is_closing_already_is_not_closed_again(
    before: Callable[[FakeTransport], None],
) -> None:
    transport, ending = FakeTransport(unwritten=1), ending_within(10)
    before(transport)
    done = list(transport.done)

    ending.finish(transport)
    assert transport.done == done
