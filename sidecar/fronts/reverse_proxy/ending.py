"""How a client's connection ends: our side first, then the client's, and nobody waits for ever."""

import asyncio

from sidecar.fronts.reverse_proxy.reading import Reading

_LINGER_SECONDS = 2.0


class Ending:
    """The end of one connection, and the one timer that runs towards it.

    ``reading`` bounds how long the client may leave unread what was sent to it. ``transport``
    is set once the end has begun.
    """

    __slots__ = ("_reading", "_timer", "transport")

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self._timer: asyncio.TimerHandle | None = None
        self.transport: asyncio.Transport | None = None

    @property
    def is_idle(self) -> bool:
        """Say whether the end has begun and all was written before it."""
        return self.transport is not None and not self.transport.get_write_buffer_size()

    @property
    def is_stuck(self) -> bool:
        """Say whether the end has begun and waits for the client to read what was written."""
        return self.transport is not None and self.transport.get_write_buffer_size() > 0

    def stop(self) -> None:
        """Hear that the connection has ended."""
        self.calm()
        self._reading.stop()

    def calm(self) -> None:
        """Let the timer run no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def begin(self, transport: asyncio.Transport) -> bool:
        """End our side and wait a while for the client's (RFC 9112, 9.6); False if that cannot be.

        To close while more of it is on its way would reset the connection, and a client that is
        still sending would never read the answer that tells it to stop.
        """
        if transport.is_closing() or not transport.can_write_eof():
            return False
        try:
            transport.write_eof()
        except OSError:  # the client has gone, and it is not yet told here
            return False
        transport.resume_reading()  # to nowhere
        self.calm()
        self.transport = transport
        self._timer = asyncio.get_running_loop().call_later(_LINGER_SECONDS, self.finish, transport)
        return True

    def finish(self, transport: asyncio.Transport) -> None:
        """Close it once all is written, which is not waited for for ever."""
        self.transport = transport
        if transport.is_closing():
            return  # asyncio's TLS is unusable, even for an abort, once it was closed twice
        if transport.get_write_buffer_size():
            self._reading.begin(transport)
        transport.close()
