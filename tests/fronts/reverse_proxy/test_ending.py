"""The end of a client's connection, on transports that do what a test wants."""

import asyncio
from typing import Any

import pytest
from typing_extensions import override

from sidecar.fronts.reverse_proxy.ending import Ending
from tests.fakes.waiting import until


class FakeTransport(asyncio.Transport):
    """Remembers what was done to it, in order. ``unwritten`` is what the client leaves unread."""

    def __init__(self, *, unwritten: int = 0, can_end: bool = True) -> None:
        super().__init__()
        self.unwritten = unwritten
        self.can_end = can_end
        self.failure: OSError | None = None
        self.done: list[str] = []

    @override
    def is_closing(self) -> bool:
        return "close" in self.done or "abort" in self.done

    @override
    def can_write_eof(self) -> bool:
        return self.can_end

    @override
    def write_eof(self) -> None:
        if self.failure is not None:
            raise self.failure
        self.done.append("end")

    @override
    def resume_reading(self) -> None:
        self.done.append("resume")

    @override
    def get_write_buffer_size(self) -> int:
        return self.unwritten

    @override
    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default

    @override
    def close(self) -> None:
        self.done.append("close")

    @override
    def abort(self) -> None:
        self.done.append("abort")


async def test_our_side_ends_first_and_what_still_comes_is_read() -> None:
    transport, ending = FakeTransport(), Ending(10)

    assert ending.begin(transport)
    assert transport.done == ["end", "resume"]
    assert ending.is_idle
    ending.finish(transport)
    ending.calm()
    assert transport.done == ["end", "resume", "close"]


async def test_one_that_cannot_end_its_side_alone_is_told_apart() -> None:
    tls, gone, closing = FakeTransport(can_end=False), FakeTransport(), FakeTransport()
    gone.failure = OSError("not connected")
    closing.close()
    ending = Ending(10)

    for transport in (tls, gone, closing):
        assert not ending.begin(transport)
    assert ending.transport is None
    assert not ending.is_idle


async def test_what_is_not_read_in_time_is_reset() -> None:
    transport, ending = FakeTransport(unwritten=1), Ending(0.05)

    ending.finish(transport)
    assert transport.done == ["close"]
    assert ending.is_stuck
    await until(lambda: transport.done == ["close", "abort"])


@pytest.mark.parametrize("again", [True, False])
async def test_a_limit_that_is_called_off_resets_nothing(*, again: bool) -> None:
    transport, other, ending = FakeTransport(), FakeTransport(), Ending(0.05)

    ending.limit(transport)
    if again:
        ending.limit(other)
        await until(lambda: other.done == ["abort"])
    else:
        ending.calm()
        await asyncio.sleep(0.1)
    assert transport.done == []
