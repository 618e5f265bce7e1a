"""The time that a request's head may take, from its first octet to its last.

Octets do not extend it: one each ten seconds would hold a connection for hours (slowloris).
"""

import asyncio
from collections.abc import Callable

from aiohttp.http import RawRequestMessage
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader

_END_OF_HEAD = b"\r\n\r\n"


class SlowHead(Exception):
    """A head did not end in time."""


class HeadWatch:
    """Runs from the beginning of a head to its end, and no longer than so many ``seconds``."""

    __slots__ = ("_seconds", "_timer")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, late: Callable[[], None]) -> None:
        """Hear that a part of a head has come; ``late`` is called if it takes too long."""
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self._seconds, self._is_late, late)

    def end(self) -> None:
        """Hear that a head has come whole, or that none is waited for."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _is_late(self, late: Callable[[], None]) -> None:
        self._timer = None
        late()


def begins_another(data: bytes, message: object, payload: StreamReader) -> bool:
    """Say whether ``data``, in which a message began, goes on beyond its end with half a head.

    The parser keeps that half to itself. What looks like the end of the message's own head in front
    of its body is taken for that: then the answer is no.
    """
    if data.endswith(_END_OF_HEAD) or not isinstance(message, RawRequestMessage):
        return False
    if message.upgrade or not payload.is_eof():
        return False
    is_sized = payload is not EMPTY_PAYLOAD and not message.chunked
    body = payload.total_bytes if is_sized else 0
    # The beginning of that end may have come before.
    return not _END_OF_HEAD.endswith(data[: len(data) - body][-len(_END_OF_HEAD) :])
