"""Upstream for those who await: requests with bodies, handshakes, and tunnels after them."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator

from sidecar.core.trace import Record
from sidecar.fronts.reverse_proxy.upstream.answer_head import AnswerHead
from sidecar.fronts.reverse_proxy.upstream.carriage import Carriage
from sidecar.fronts.reverse_proxy.upstream.policy import UpstreamFailed
from sidecar.fronts.reverse_proxy.upstream.pool import Pool
from sidecar.fronts.reverse_proxy.upstream.request_head import Field, write_request_head
from sidecar.ports import UpstreamError

_BUFFER_BYTES = 16 * 1024


class Upstream(Pool):
    """The pool, with requests whose body and answer come piece by piece."""

    async def ask(
        self,
        method: str,
        target: str,
        fields: list[Field],
        body: AsyncIterator[bytes] | None,
        *,
        upgrade: bool = False,
        record: Record | None = None,
    ) -> "Answer":
        """Send a request and return upstream's answer, its body still to come.

        ``target`` is sent as it is, octet for octet. An exception of ``body`` breaks the request
        off, so that upstream does not take the part for the whole.

        Raises:
            UpstreamFailed: there is no answer.
        """
        chunked = body is not None and not any(
            name.lower() == b"content-length" for name, _ in fields
        )
        if chunked:
            fields = [*fields, (b"Transfer-Encoding", b"chunked")]
        answer = Answer()
        octets = write_request_head(method, target, fields)
        carriage = Carriage(method, octets, answer, is_whole=body is None, upgrade=upgrade)
        carriage.record = record
        answer.carriage = carriage
        self.carry(carriage)
        if body is not None and not answer.has_failed:
            answer.sending = self.tasks.create_task(answer.send(body, chunked=chunked))
        try:
            await answer.head()
        except BaseException:
            answer.close()
            raise
        return answer


class Answer:
    """Upstream's answer: its head, and its body piece by piece. A ``Receiver``."""

    def __init__(self) -> None:
        self.carriage: Carriage
        self.sending: asyncio.Task[None] | None = None
        self._head: AnswerHead | None = None
        self._pieces: deque[bytes] = deque()
        self._buffered = 0
        self._has_ended = False
        self._failure: UpstreamFailed | None = None
        self._news = asyncio.Event()
        self._writable = asyncio.Event()

    @property
    def has_failed(self) -> bool:
        """Say whether there is no answer, or no more of it."""
        return self._failure is not None

    @property
    def status(self) -> int:
        return self._told.status

    @property
    def reason(self) -> bytes:
        return self._told.reason

    @property
    def raw_headers(self) -> list[Field]:
        return self._told.fields

    @property
    def end_to_end(self) -> list[Field]:
        """The fields that go on to the client."""
        return self._told.end_to_end

    @property
    def is_event_stream(self) -> bool:
        return self._told.is_event_stream

    @property
    def _told(self) -> AnswerHead:
        assert self._head is not None, "`ask` returns no answer without"  # noqa: S101
        return self._head

    async def head(self) -> None:
        """Wait for the answer's head.

        Raises:
            UpstreamFailed: there is no answer.
        """
        while self._head is None:
            if self._failure is not None:
                raise self._failure.anew()
            self._news.clear()
            await self._news.wait()

    def at_hand(self) -> bytes:
        """Return what has come of the body already, without waiting."""
        data = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        self._pieces.clear()
        self._buffered = 0
        self.carriage.resume()
        return data

    async def more(self) -> bytes:
        """Wait for the next piece of the body; empty at its end.

        Raises:
            UpstreamFailed: the body broke off, or nothing came for ``idle_timeout``.
        """
        while not self._pieces:
            if self._failure is not None:
                raise self._failure.anew()
            if self._has_ended:
                return b""
            self._news.clear()
            await self._news.wait()
        return self.at_hand()

    async def write(self, data: bytes) -> None:
        """Send more of the request, waiting while upstream does not take it.

        Raises:
            UpstreamFailed: the connection is lost.
        """
        while not self.carriage.can_write:
            if self._failure is not None:
                raise self._failure.anew()
            if self._has_ended:
                raise UpstreamFailed(UpstreamError.RESET, "the connection has ended")
            self._writable.clear()
            await self._writable.wait()
        self.carriage.write(data)

    async def send(self, body: AsyncIterator[bytes], *, chunked: bool) -> None:
        """Send the body to its end. Raises nothing but ``CancelledError``."""
        try:
            async for piece in body:
                if piece:
                    await self.write(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
            if chunked:
                await self.write(b"0\r\n\r\n")
            self.carriage.finish()
        except UpstreamFailed:
            pass  # whoever waits for the answer is told the same
        except Exception as broken:  # noqa: BLE001 - whatever it is, the rest will not come
            self.carriage.abandon()
            self.failed(UpstreamFailed(UpstreamError.RESET, type(broken).__name__))
            # Whoever raised it keeps it; with its traceback it would keep all of this request, too.
            broken.__traceback__ = None

    def close(self) -> None:
        """Be done with it: what is still to come, either way, is dropped with the connection."""
        if self.sending is not None:
            self.sending.cancel()
            self.sending = None  # its coroutine holds us
        self.carriage.forget()
        if not self._has_ended:
            self._failure = UpstreamFailed(UpstreamError.RESET, "given up")
            self._wake()

    def begun(self, head: AnswerHead) -> None:
        self._head = head

    def continued(self, data: bytes) -> None:
        self._pieces.append(data)
        self._buffered += len(data)
        if self._buffered >= _BUFFER_BYTES:
            self.carriage.pause()

    def received(self) -> None:
        self._news.set()

    def ended(self) -> None:
        self._has_ended = True
        self._wake()

    def failed(self, why: UpstreamFailed) -> None:
        self._failure = why
        self._wake()

    def writable(self) -> None:
        self._writable.set()

    def _wake(self) -> None:
        self._news.set()
        self._writable.set()
