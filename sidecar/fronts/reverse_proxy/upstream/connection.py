"""One connection to upstream: a request at a time, and the answer to it."""

import asyncio
import math
from collections.abc import Callable
from typing import cast

from typing_extensions import override

from sidecar.fronts.reverse_proxy.one_buffer import PART, WHOLE, OneBuffer
from sidecar.fronts.reverse_proxy.upstream.answer_head import Malformed
from sidecar.fronts.reverse_proxy.upstream.answer_reader import AnswerReader
from sidecar.fronts.reverse_proxy.upstream.carriage import Carriage
from sidecar.fronts.reverse_proxy.upstream.policy import UpstreamFailed, UpstreamPolicy
from sidecar.ports import UpstreamError

# What one read brings is kept while the client does not read. So much only for an answer of which
# more was taken than sockets and queues on the way hold: half a megabyte, in parts.
_PARTS = 22


class Connection(OneBuffer):
    """Carries one request at a time. ``deadline`` is looked at by the pool."""

    __slots__ = (
        "_carriage", "_leave", "_loop", "_parts", "_policy", "_reader", "_retry", "_room",
        "deadline", "idle_timeout", "is_paused", "is_reused", "transport", "writing_paused",
    )  # fmt: skip

    def __init__(
        self,
        policy: UpstreamPolicy,
        leave: "Callable[[Connection, bool], None]",
        retry: Callable[[Carriage], None],
    ) -> None:
        self._policy = policy
        self._leave = leave
        self._retry = retry
        self._loop = asyncio.get_running_loop()
        self._reader = AnswerReader(policy.max_head_bytes)
        self._carriage: Carriage | None = None
        self._room = PART
        self._parts = 0
        self.transport: asyncio.Transport
        self.deadline = math.inf
        self.idle_timeout = policy.idle_timeout
        self.is_reused = False
        self.is_paused = False
        self.writing_paused = False

    @property
    def is_usable(self) -> bool:
        """Say whether it can carry another request."""
        return self._carriage is None and not self.transport.is_closing()

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def carry(self, carriage: Carriage) -> None:
        """Send a request."""
        self._carriage = carriage
        carriage.connection = self
        if carriage.record is not None:
            peer = self.transport.get_extra_info("peername")
            carriage.record.connected(peer, is_reused=self.is_reused)
        self._reader.expect(carriage.receiver, carriage.method, upgrade=carriage.upgrade)
        self.transport.write(carriage.octets)
        if carriage.is_whole:
            self.deadline = self._loop.time() + self._policy.first_byte_timeout
        else:
            self.deadline = math.inf
            carriage.receiver.writable()

    def await_answer(self) -> None:
        """Start the clock: the request is sent, and the answer may begin."""
        if self._reader.head is None:
            self.deadline = self._loop.time() + self._policy.first_byte_timeout

    @override
    def get_buffer(self, sizehint: int) -> memoryview:
        return self._room

    @override
    def octets_received(self, octets: memoryview) -> None:
        carriage = self._carriage
        if carriage is None:
            # An answer that nobody asked for must not be taken for the next request's.
            self.close()
            return
        try:
            self._reader.feed(octets)
        except Malformed as malformed:
            self._fail(UpstreamFailed(UpstreamError.MALFORMED, str(malformed)))
            return
        if carriage.record is not None and self._reader.head is not None:
            carriage.record.received(self._reader.head.status)
        if self._carriage is not carriage:
            return  # the receiver has abandoned it
        if self._reader.is_complete:
            self._end()
            return
        if len(octets) == len(PART):
            self._parts += 1
            if self._parts == _PARTS:
                self._room = WHOLE
        if self._reader.head is not None:
            self.deadline = math.inf if self.is_paused else self._loop.time() + self.idle_timeout
        carriage.receiver.received()

    @override
    def eof_received(self) -> bool:
        if self._carriage is not None:
            if self._reader.end():
                self._end()
            else:
                self._lose("closed before the end")
        return False

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        if self._carriage is not None:
            self._lose("the connection was closed" if exc is None else type(exc).__name__)
        else:
            self._leave(self, False)  # noqa: FBT003
        self._reader.let_go()

    @override
    def pause_writing(self) -> None:
        self.writing_paused = True

    @override
    def resume_writing(self) -> None:
        self.writing_paused = False
        if self._carriage is not None:
            self._carriage.receiver.writable()

    def pause(self) -> None:
        if not self.is_paused:
            self.is_paused = True
            self.deadline = math.inf  # it is not upstream that is slow
            self.transport.pause_reading()

    def resume(self) -> None:
        if self.is_paused:
            self.is_paused = False
            if self._reader.head is not None:
                self.deadline = self._loop.time() + self.idle_timeout
            elif self._carriage is not None and self._carriage.is_whole:
                self.await_answer()
            self.transport.resume_reading()

    def abandon(self) -> None:
        """Drop the request and the connection with it."""
        self._detach()
        self.close()
        self._leave(self, False)  # noqa: FBT003

    def expire(self) -> None:
        """Hear that the deadline has passed."""
        if self._reader.head is None:
            self._fail(UpstreamFailed(UpstreamError.FIRST_BYTE_TIMEOUT, "no answer for too long"))
        else:
            self._fail(UpstreamFailed(UpstreamError.IDLE_TIMEOUT, "no body for too long"))

    def close(self) -> None:
        self.transport.abort()

    def _end(self) -> None:
        reader, carriage = self._reader, self._carriage
        assert carriage is not None  # noqa: S101
        assert reader.head is not None  # noqa: S101
        stays = (
            # RFC 9112, 9.6: an early answer; the rest of the request has no reader.
            carriage.is_whole
            and not self.writing_paused
            and reader.head.keeps_alive
            and not reader.is_tainted
            and not self.transport.is_closing()
        )
        self._detach()
        if not stays:
            self.close()
        # Before the receiver is told: its client's next request can have this connection.
        self._leave(self, stays)
        carriage.receiver.ended()

    def _lose(self, detail: str) -> None:
        carriage = self._carriage
        assert carriage is not None  # noqa: S101
        if self.is_reused and not self._reader.has_begun and carriage.is_repeatable:
            # RFC 9112, 9.3.1: upstream closed the kept connection while the request was under way.
            self._detach()
            self.close()
            self._leave(self, False)  # noqa: FBT003
            self._retry(carriage)
            return
        self._fail(UpstreamFailed(UpstreamError.RESET, detail))

    def _fail(self, why: UpstreamFailed) -> None:
        carriage = self._carriage
        assert carriage is not None  # noqa: S101
        self._detach()
        self.close()
        self._leave(self, False)  # noqa: FBT003
        carriage.receiver.failed(why)

    def _detach(self) -> None:
        carriage = self._carriage
        if carriage is not None:
            carriage.connection = None
            if carriage.record is not None:
                carriage.record.upstream_ended()
            self._carriage = None
        if self.is_paused:
            self.is_paused = False
            if not self.transport.is_closing():
                self.transport.resume_reading()
        self._room, self._parts = PART, 0
        self.deadline = math.inf
        self.idle_timeout = self._policy.idle_timeout
