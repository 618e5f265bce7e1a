"""How slowly a client may read what is sent to it.

What counts is what the client's side has acknowledged, as the kernel knows it, and not whether
more could be written: that depends on the memory of the kernel too, and one octet a minute makes
room for a write now and then. Only the time counts in which something waits to be written, so a
stream with nothing to say may say nothing for hours.
"""

import asyncio
import logging
import socket
import struct
from collections.abc import Callable

from sidecar.core.connections import ConnectionObserver
from sidecar.fronts.reverse_proxy.downstream import reset
from sidecar.fronts.reverse_proxy.pace import BodyRate

log = logging.getLogger(__name__)

_LOOKS = 10  # within the time that a client has
_BYTES_ACKED = struct.Struct("@120xQ")  # of `struct tcp_info` in Linux


def octets_taken(transport: asyncio.Transport) -> int | None:
    """Return how many octets the other end has acknowledged; None where nobody can tell.

    No octet at all is taken for not telling: there are kernels that do not count.
    """
    connection = transport.get_extra_info("socket")
    if connection is None or not hasattr(socket, "TCP_INFO"):
        return None
    try:
        info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _BYTES_ACKED.size)
    except OSError:
        return None
    if len(info) < _BYTES_ACKED.size:
        return None
    taken: int = _BYTES_ACKED.unpack(info)[0]
    return taken or None


class _Window:
    """What was taken in the last ``rate.grace`` seconds of waiting, in a few steps."""

    __slots__ = ("_due", "_grace", "_steps", "_taken", "_waited")

    def __init__(self, rate: BodyRate) -> None:
        self._grace = rate.grace
        self._due = rate.octets * rate.grace
        self._steps = [(0.0, 0.0)]  # octets, seconds; few
        self._taken = 0.0
        self._waited = 0.0

    @property
    def is_short(self) -> bool:
        """Say whether that was too little."""
        return self._waited >= self._grace and self._taken < self._due

    def add(self, taken: float, waited: float) -> None:
        """Hear that so much was taken while so many seconds were waited."""
        self._taken += taken
        self._waited += waited
        steps = self._steps
        if steps[-1][1] < self._grace / _LOOKS:  # else as many steps as there are short waits
            begun = steps.pop()
            taken += begun[0]
            waited += begun[1]
        steps.append((taken, waited))
        while self._waited - steps[0][1] >= self._grace:
            taken, waited = steps.pop(0)
            self._taken -= taken
            self._waited -= waited


class Reading:
    """Resets a connection whose client reads too slowly, or nothing, for ``rate.grace`` seconds.

    It is looked at a few times within these, and not at all while nothing waits. ``observer`` hears
    of a client that is too slow. ``rate`` has to ask for something, however little.
    """

    __slots__ = (
        "_has_resumed", "_observer", "_rate", "_since", "_taken", "_taken_by", "_timer", "_waited",
        "_window",
    )  # fmt: skip

    def __init__(
        self,
        rate: BodyRate,
        observer: ConnectionObserver,
        taken_by: Callable[[asyncio.Transport], int | None] = octets_taken,
    ) -> None:
        self._rate = rate
        self._observer = observer
        self._taken_by = taken_by
        self._window = _Window(rate)
        self._timer: asyncio.TimerHandle | None = None
        self._taken: int | None = None  # when it was looked at last
        self._since: float | None = None  # while something waits
        self._waited = 0.0
        self._has_resumed = False

    def begin(self, transport: asyncio.Transport) -> None:
        """Hear that something waits to be written."""
        loop = asyncio.get_running_loop()
        if self._since is None:
            self._since = loop.time()
        if self._timer is None:
            self._taken = self._taken_by(transport)
            self._look_later(loop, transport)

    def end(self) -> None:
        """Hear that nothing waits any more."""
        if self._since is not None:
            self._waited += asyncio.get_running_loop().time() - self._since
            self._since = None
            self._has_resumed = True

    def stop(self) -> None:
        """Look no more: the connection has ended."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look_later(self, loop: asyncio.AbstractEventLoop, transport: asyncio.Transport) -> None:
        self._timer = loop.call_later(self._rate.grace / _LOOKS, self._look, loop, transport)

    def _look(self, loop: asyncio.AbstractEventLoop, transport: asyncio.Transport) -> None:
        self._timer = None
        if self._since is not None:
            now = loop.time()
            self._waited += now - self._since
            self._since = now
        self._window.add(self._taken_since(transport), self._waited)
        self._waited, self._has_resumed = 0.0, False
        if self._since is None:
            return
        if not self._window.is_short:
            self._look_later(loop, transport)
            return
        peer = transport.get_extra_info("peername")
        log.info("a connection is reset: its client (%s) reads too slowly", peer and peer[0])
        self._observer.read_too_slowly()
        reset(transport)

    def _taken_since(self, transport: asyncio.Transport) -> float:
        before, self._taken = self._taken, self._taken_by(transport)
        if before is None or self._taken is None:
            return self._rate.octets * self._rate.grace if self._has_resumed else 0.0
        return self._taken - before
