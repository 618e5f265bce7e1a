"""Whether a client is still there while nothing is read from it.

Reading stops when more requests wait behind an answer than are kept, and then nobody hears that the
client has left: what was begun for it would go on until an idle timeout. The kernel knows.
"""

import asyncio
import socket
from typing import Protocol

_TCP_ESTABLISHED = 1  # the first octet of `struct tcp_info` in Linux


class Watched(Protocol):
    """A client's connection.

    ``pause`` is None while it is read, else another value after each request that was taken.
    """

    transport: asyncio.Transport | None

    @property
    def pause(self) -> object | None: ...

    def reset(self) -> None: ...


class Presence:
    """Looks after a connection while its reading is paused, every ``seconds``.

    It is reset if no request of it is taken and its client has left, or that goes on for
    ``patience`` seconds: the end of one whose octets have no room here never comes.
    """

    __slots__ = ("_patience", "_seconds", "_seen", "_stuck", "_timer")

    def __init__(self, patience: float, seconds: float = 1.0) -> None:
        self._patience = patience
        self._seconds = seconds
        self._timer: asyncio.TimerHandle | None = None
        self._seen: object = None
        self._stuck = 0.0

    def watch(self, client: Watched) -> None:
        """Begin to look, unless that was begun."""
        if self._timer is None:
            self._seen = None
            self._look_later(client)

    def end(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look_later(self, client: Watched) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._seconds, self._look, client)

    def _look(self, client: Watched) -> None:
        self._timer = None
        transport, pause = client.transport, client.pause
        if transport is None or pause is None:
            return
        if pause != self._seen:
            self._seen, self._stuck = pause, 0.0
        else:
            self._stuck += self._seconds
            if self._stuck >= self._patience or has_left(transport):
                client.reset()
                return
        self._look_later(client)


def has_left(transport: asyncio.Transport) -> bool:
    """Say whether the other end has ended its side or is gone; False where nobody can tell."""
    connection = transport.get_extra_info("socket")
    if connection is None or not hasattr(socket, "TCP_INFO"):
        return False
    try:
        state: int = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]
    except OSError:
        return True
    return state != _TCP_ESTABLISHED
