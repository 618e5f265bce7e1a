"""One connection to upstream: a request at a time, and the answer to it."""

import asyncio
import math
from collections.abc import Callable
from typing import Protocol, cast

from typing_extensions import override

from sidecar.fronts.reverse_proxy.one_buffer import OneBuffer
from sidecar.fronts.reverse_proxy.upstream.answer_head import AnswerHead, Malformed
from sidecar.fronts.reverse_proxy.upstream.answer_reader import AnswerReader
from sidecar.fronts.reverse_proxy.upstream.policy import UpstreamFailed, UpstreamPolicy
from sidecar.ports import UpstreamError

# RFC 9110, 9.2.2. What is sent twice by us may have been acted on twice.
IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})


class Receiver(Protocol):
    """Who is told how a request fares. Called in the event loop; must not raise."""

    def begun(self, head: AnswerHead) -> None:
        """Hear the answer's head."""
        ...

    def continued(self, data: bytes) -> None:
        """Hear a piece of its body."""
        ...

    def received(self) -> None:
        """Hear that what came in one read has been told: now is the time to write it on."""
        ...

    def ended(self) -> None:
        """Hear that the answer is whole. Nothing is told after this."""
        ...

    def failed(self, why: UpstreamFailed) -> None:
        """Hear that there is no answer, or no more of it. Nothing is told after this."""
        ...

    def writable(self) -> None:
        """Hear that upstream takes more of the request: it has a connection, or has caught up."""
        ...


class Carriage:
    """One request on its way. ``octets`` is all of it if ``is_whole``, else its head.

    What is not whole is gone on with by ``write`` once the receiver was told ``writable``, and
    ended by ``finish``.
    """

    __slots__ = (
        "connection", "deadline", "is_new_only", "is_repeatable", "is_whole", "method", "octets",
        "receiver", "upgrade",
    )  # fmt: skip

    def __init__(
        self,
        method: str,
        octets: bytes,
        receiver: Receiver,
        *,
        is_whole: bool = True,
        upgrade: bool = False,
    ) -> None:
        self.method = method
        self.octets = octets
        self.receiver = receiver
        self.is_whole = is_whole
        # What was written piece by piece is gone, and the head alone is another request.
        self.is_repeatable = is_whole and method in IDEMPOTENT
        self.upgrade = upgrade
        self.connection: Connection | None = None
        self.deadline = math.inf  # of the wait for a connection
        self.is_new_only = False

    @property
    def is_abandoned(self) -> bool:
        return self.deadline < 0

    @property
    def can_write(self) -> bool:
        """Say whether upstream takes more of the request at the moment."""
        return self.connection is not None and not self.connection.writing_paused

    def write(self, data: bytes) -> None:
        """Send more of the request; after an end or a failure nothing happens."""
        if self.connection is not None:
            self.connection.transport.write(data)

    def finish(self) -> None:
        """Say that all of the request was written."""
        self.is_whole = True
        if self.connection is not None:
            self.connection.await_answer()

    def pause(self) -> None:
        """Read no more of the answer until ``resume``."""
        if self.connection is not None:
            self.connection.pause()

    def resume(self) -> None:
        if self.connection is not None:
            self.connection.resume()

    def be_patient(self) -> None:
        """Let upstream be silent for as long as it likes: it is a tunnel now."""
        if self.connection is not None:
            self.connection.idle_timeout = self.connection.deadline = math.inf

    def abandon(self) -> None:
        """Give the request up, whatever has become of it; the receiver hears nothing more."""
        self.deadline = -1.0
        if self.connection is not None:
            self.connection.abandon()


class Connection(OneBuffer):
    """Carries one request at a time. ``deadline`` is looked at by the pool."""

    __slots__ = (
        "_carriage", "_leave", "_loop", "_policy", "_reader", "_retry", "deadline",
        "idle_timeout", "is_paused", "is_reused", "transport", "writing_paused",
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
        if self._carriage is not carriage:
            return  # the receiver has abandoned it
        if self._reader.is_complete:
            self._end()
            return
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
        if self._carriage is not None:
            self._carriage.connection = None
            self._carriage = None
        if self.is_paused:
            self.is_paused = False
            if not self.transport.is_closing():
                self.transport.resume_reading()
        self.deadline = math.inf
        self.idle_timeout = self._policy.idle_timeout
