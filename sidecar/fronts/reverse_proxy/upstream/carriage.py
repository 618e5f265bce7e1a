"""One request on its way to upstream, and who is told how it fares."""

import math
from typing import TYPE_CHECKING, Protocol

from sidecar.core.trace import Record
from sidecar.fronts.reverse_proxy.upstream.answer_head import AnswerHead
from sidecar.fronts.reverse_proxy.upstream.policy import UpstreamFailed

if TYPE_CHECKING:
    from sidecar.fronts.reverse_proxy.upstream.connection import Connection

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


class _Nobody:
    def begun(self, head: AnswerHead) -> None: ...

    def continued(self, data: bytes) -> None: ...

    def received(self) -> None: ...

    def ended(self) -> None: ...

    def failed(self, why: UpstreamFailed) -> None: ...

    def writable(self) -> None: ...


_NOBODY = _Nobody()


class Carriage:
    """One request on its way. ``octets`` is all of it if ``is_whole``, else its head.

    What is not whole is gone on with by ``write`` once the receiver was told ``writable``, and
    ended by ``finish``. ``record`` is where it is noted how it fares, if that is wanted.
    """

    __slots__ = (
        "connection", "connects", "deadline", "is_new_only", "is_repeatable", "is_whole", "method",
        "octets", "receiver", "record", "upgrade",
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
        self.record: Record | None = None
        self.connection: Connection | None = None
        self.deadline = math.inf  # of the wait for a connection
        self.is_new_only = False
        self.connects = 0  # connections that were opened for it, or tried to be

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

    def forget(self) -> None:
        """Give the request up, and the receiver too, whoever that was.

        It holds us: the ring would keep both for the next full garbage collection.
        """
        self.abandon()
        self.receiver = _NOBODY

    def abandon(self) -> None:
        """Give the request up, whatever has become of it; the receiver hears nothing more."""
        self.deadline = -1.0
        if self.connection is not None:
            self.connection.abandon()
