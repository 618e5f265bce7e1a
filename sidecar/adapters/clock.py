"""The system's clocks."""

import time

# CLOCK_BOOTTIME goes on while the machine sleeps; CLOCK_MONOTONIC does not, and a lease measured
# on it would outlive a suspended virtual machine.
_STEADY: int | None = getattr(time, "CLOCK_BOOTTIME", None)


class SystemClock:
    """The wall clock and a steady clock that counts suspended time too, where the system has it."""

    def now(self) -> float:
        return time.time()

    def steady(self) -> float:
        return time.monotonic() if _STEADY is None else time.clock_gettime(_STEADY)
