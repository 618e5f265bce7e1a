"""Being told to end, in good order or in a hurry, and being told to read the settings anew."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

RELIEF = signal.SIGUSR1
"""What a worker gets whose successor serves already."""

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


@dataclass(slots=True)
class Stop:
    """``asked`` is set by the first signal, ``hurried`` by SIGINT or by a second SIGTERM.

    ``is_relieved`` says that others serve already: nothing new need be accepted. A worker
    ``is_patient``: service managers may send SIGTERM to each process, and its parent does too.
    """

    is_patient: bool = False
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    hurried: asyncio.Event = field(default_factory=asyncio.Event)
    is_relieved: bool = False
    followers: list["Stop"] = field(default_factory=list)
    _was_told: bool = False

    def hear(self, number: int) -> None:
        """Take a signal, and pass it on to the followers.

        SIGINT is a person at a terminal, who does not wait for balancers.
        """
        if number == RELIEF:
            self.relieve()
            return
        if number == signal.SIGINT or (self._was_told and not self.is_patient):
            self.hurried.set()
        self._was_told = True
        self.asked.set()
        for follower in self.followers:
            follower.hear(number)

    def relieve(self) -> None:
        """End in good order, and accept nothing more from now on."""
        self.is_relieved = True
        self.asked.set()

    async def lasts(self, seconds: float) -> None:
        """Return after ``seconds``, or as soon as there is a hurry."""
        try:
            async with asyncio.timeout(seconds):
                await self.hurried.wait()
        except TimeoutError:
            pass


@asynccontextmanager
async def stop_on_signals(*, as_worker: bool = False) -> AsyncIterator[Stop]:
    """Hear SIGTERM and SIGINT, a worker also its relief, until the block ends."""
    loop = asyncio.get_running_loop()
    stop = Stop(is_patient=as_worker)
    numbers = (*_SIGNALS, RELIEF) if as_worker else _SIGNALS
    for number in numbers:
        loop.add_signal_handler(number, stop.hear, number)
    try:
        yield stop
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


def keep_hangups() -> None:
    """Keep a SIGHUP until ``hangups`` can hear it: at its start it would end the process."""
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGHUP])


@asynccontextmanager
async def hangups() -> AsyncIterator[asyncio.Event]:
    """Set the event at each SIGHUP until the block ends, and at one that was kept."""
    loop = asyncio.get_running_loop()
    heard = asyncio.Event()
    loop.add_signal_handler(signal.SIGHUP, heard.set)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGHUP])
    try:
        yield heard
    finally:
        loop.remove_signal_handler(signal.SIGHUP)
