"""Being told to end: in good order, or in a hurry."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


@dataclass(frozen=True, slots=True)
class Stop:
    """``asked`` is set by the first signal, ``hurried`` by SIGINT or by a second one."""

    asked: asyncio.Event = field(default_factory=asyncio.Event)
    hurried: asyncio.Event = field(default_factory=asyncio.Event)

    def hear(self, number: int) -> None:
        """Take a signal. SIGINT is a person at a terminal, who does not wait for balancers."""
        if self.asked.is_set() or number == signal.SIGINT:
            self.hurried.set()
        self.asked.set()

    async def lasts(self, seconds: float) -> None:
        """Return after ``seconds``, or as soon as there is a hurry."""
        try:
            async with asyncio.timeout(seconds):
                await self.hurried.wait()
        except TimeoutError:
            pass


@asynccontextmanager
async def stop_on_signals() -> AsyncIterator[Stop]:
    """Hear SIGTERM and SIGINT until the block ends."""
    loop = asyncio.get_running_loop()
    stop = Stop()
    for number in _SIGNALS:
        loop.add_signal_handler(number, stop.hear, number)
    try:
        yield stop
    finally:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)
