"""The system's clocks."""

import time

from sidecar.adapters.clock import SystemClock
from sidecar.ports import Clock


def test_the_wall_clock_is_epoch_seconds() -> None:
    clock: Clock = SystemClock()

    assert abs(clock.now() - time.clock_gettime(time.CLOCK_REALTIME)) < 5


def test_the_steady_clock_only_grows() -> None:
    clock = SystemClock()
    moments = [clock.steady() for _ in range(1000)]

    assert moments == sorted(moments)


def test_the_steady_clock_counts_suspended_time() -> None:
    """A lease measured on CLOCK_MONOTONIC would outlive a paused virtual machine."""
    before = time.clock_gettime(time.CLOCK_BOOTTIME)

    assert before <= SystemClock().steady() <= time.clock_gettime(time.CLOCK_BOOTTIME)
