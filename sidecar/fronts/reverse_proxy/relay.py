"""A granted request whose body is at hand, carried out by callbacks: no task, no timer, no await.

This is the way of nearly all requests. What has to be waited for (a body still to come, a
handshake, keys or an account not at hand) goes the way of ``exchange``. What the steps cost is
written in ``client_connection``.
"""

import logging
from typing import TYPE_CHECKING

from sidecar.core.decision import Deny, Grant
from sidecar.core.request import AccessRequest
from sidecar.fronts.refusal import Refusal, refusal_of, upstream_refusal
from sidecar.fronts.reverse_proxy.cutting import deny_reason_of
from sidecar.fronts.reverse_proxy.framing import Framing
from sidecar.fronts.reverse_proxy.response_head import SplitResponse
from sidecar.fronts.reverse_proxy.upstream import UpstreamFailed
from sidecar.fronts.reverse_proxy.upstream.answer_head import AnswerHead
from sidecar.fronts.reverse_proxy.upstream.carriage import Carriage
from sidecar.fronts.reverse_proxy.upstream.policy import level_of
from sidecar.ports import CutReason, StreamKind, UpstreamError
from sidecar.streams import Stream

if TYPE_CHECKING:
    from sidecar.fronts.reverse_proxy.client_connection import ClientConnection
    from sidecar.fronts.reverse_proxy.handler import Parts

log = logging.getLogger(__name__)

_CLIENT_GONE = 499  # as nginx logs it: nobody was there to get a status


class Relay:
    """Carries one grant out, between ``start`` and the end of it. A ``Receiver``."""

    __deletable__ = ("_carriage", "_stream")  # for mypyc, which deletes no attribute unasked
    __slots__ = (
        "_carriage", "_head", "_is_over", "_parts", "_pieces", "_status", "_stream", "asked",
        "began", "client", "framing",
    )  # fmt: skip

    def __init__(
        self,
        parts: "Parts",
        client: "ClientConnection",
        asked: AccessRequest,
        framing: Framing,
        began: float,
    ) -> None:
        self._parts = parts
        self.client = client
        self.asked = asked
        self.framing = framing
        self.began = began
        self._head: AnswerHead | None = None
        self._pieces: list[bytes] = []
        self._status = 0  # of what was sent
        self._is_over = False
        self._stream: Stream
        self._carriage: Carriage

    @property
    def is_begun(self) -> bool:
        """Say whether something of the answer was sent."""
        return bool(self._status)

    @property
    def is_amid(self) -> bool:
        """Say whether there is more to come of an answer that has begun: else it has ended."""
        return self.is_begun

    def start(self, grant: Grant, octets: bytes) -> None:
        """Register the stream and send the request, in the turn in which it was granted."""
        carriage = self._carriage = Carriage(self.asked.method, octets, self)
        if self.asked.trace is not None:
            carriage.record = self.asked.trace.record
        self._stream = self._parts.streams.registered(grant, StreamKind.HTTP, self.cut)
        self._parts.upstream.carry(carriage)

    def cut(self, reason: CutReason) -> None:
        """End it at once: before the answer by an answer of ours, after that by a reset."""
        if self.asked.trace is not None:
            self.asked.trace.cut(reason.value)
        self.refuse(Deny(deny_reason_of(reason), "cut before the answer"))

    def refuse(self, deny: Deny) -> None:
        """End it by an answer of ours, or by a reset where the answer has begun."""
        self._carriage.abandon()
        if self._status:
            self._break_off()
        else:
            self._answer(refusal_of(deny, realm=self._parts.realm, request_id=self._request_id))

    def client_gone(self) -> None:
        """Hear that nobody is there to be answered."""
        self._carriage.abandon()
        self._end()

    def client_paused(self) -> None:
        """Hear that the client does not read what is sent to it."""
        self._carriage.pause()

    def client_resumed(self) -> None:
        self._carriage.resume()

    def begun(self, head: AnswerHead) -> None:
        self._head = head

    def continued(self, data: bytes) -> None:
        self._pieces.append(data)

    def received(self) -> None:
        if self._head is not None and not self._is_over:
            self._write(is_last=False)

    def ended(self) -> None:
        if self._write(is_last=True):
            self._end()

    def failed(self, why: UpstreamFailed) -> None:
        self._fail(why.error, why.detail)

    def writable(self) -> None:
        """Nothing is left to write: the request went out whole."""

    @property
    def _request_id(self) -> str:
        return self.asked.request_id

    def _write(self, *, is_last: bool) -> bool:
        parts = []
        if not self._status:
            try:
                parts.append(self._begin())
            except SplitResponse:
                self._carriage.abandon()
                self._fail(UpstreamError.MALFORMED, "control characters in the head")
                return False
        framing = self.framing
        if framing.is_chunked:
            for piece in self._pieces:
                parts += (b"%x\r\n" % len(piece), piece, b"\r\n")
            if is_last:
                parts.append(b"0\r\n\r\n")
        elif framing.has_body:
            parts += self._pieces
        self._pieces.clear()
        self.client.send(b"".join(parts) if len(parts) > 1 else parts[0] if parts else b"")
        return True

    def _begin(self) -> bytes:
        head = self._head
        assert head is not None  # noqa: S101
        if head.is_event_stream:
            self._stream.is_endless = True
        octets = self.framing.begin_as(head)
        self._status = head.status
        return octets

    def _fail(self, error: UpstreamError, detail: str) -> None:
        log.log(
            level_of(error), "upstream failed: %s (%s), request %s", error, detail, self._request_id
        )
        self._parts.observer.upstream_failed(self.asked, error)
        if self._status:
            self._break_off()
        else:
            self._answer(upstream_refusal(error, request_id=self._request_id))

    def _answer(self, refusal: Refusal) -> None:
        self.framing.stays = False
        self._status = refusal.status
        self.client.send(self.framing.whole(refusal.status, refusal.fields, refusal.body))
        self._end()

    def _break_off(self) -> None:
        self.framing.stays = False
        self.client.reset()
        self._end()

    def _end(self) -> None:
        if self._is_over:
            return
        self._is_over = True
        self._stream.leave()
        # Without these the relay is freed where it ends, and no collector has to look for it.
        del self._stream, self._carriage
        parts = self._parts
        parts.observer.answered(
            self.asked, self._status or _CLIENT_GONE, parts.clock.steady() - self.began
        )
        self.client.done(self.framing.stays)
