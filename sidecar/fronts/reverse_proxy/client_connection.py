"""A client's connection: aiohttp's, which answers at once what can be answered at once.

aiohttp parses and queues; a request whose body is at hand and whose decision needs no waiting is
taken from the head of the queue right where it was read, and relayed by callbacks (``relay``). All
others, and requests behind one of those, go aiohttp's own way, a task each (``handler``). Requests
of one connection are answered in their order, whichever way each of them goes.

Measured on CPython 3.11 without sockets, a request on a connection that sends the same head again,
and its answer of five fields: 21 us. The kernel's and the event loop's parts come to twice as much
again. A head that is new on its connection costs 20 us more, a token that is new its signature.

It overrides and uses some private names of ``RequestHandler``; a test watches them.
"""

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from aiohttp import web
from aiohttp.http import RawRequestMessage
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader
from aiohttp.web_protocol import _ErrInfo
from typing_extensions import override

from sidecar.fronts.listener import Connection
from sidecar.fronts.reverse_proxy.downstream import Downstream, keep_little, reset
from sidecar.fronts.reverse_proxy.ending import Ending
from sidecar.fronts.reverse_proxy.one_buffer import OneBuffer
from sidecar.fronts.reverse_proxy.presence import Presence
from sidecar.fronts.reverse_proxy.reading import Reading
from sidecar.fronts.shown import certificate_of

if TYPE_CHECKING:
    from sidecar.fronts.prepared_head import PreparedHead
    from sidecar.fronts.reverse_proxy.handler import Handler
    from sidecar.fronts.reverse_proxy.relay import Relay
    from sidecar.turns import Turn

log = logging.getLogger(__name__)

# To whoever has ended its side of the connection.
_BEGINS_SECONDS = 1.0


class ClientConnection(Connection, OneBuffer):
    __slots__ = (
        "_closes_when_sent", "_drains", "_ending", "_going", "_handler", "_has_ended", "_presence",
        "_reading", "certificate", "downstream", "peer", "prepared", "relay", "scheme", "turn",
    )  # fmt: skip

    def __init__(self, handler: "Handler", *arguments: Any, **options: Any) -> None:
        super().__init__(handler, *arguments, **options)
        self._handler = handler
        self.relay: Relay | None = None
        self.turn: Turn | None = None  # for which the request at the head of the queue waits
        self.prepared: PreparedHead | None = None
        self.peer = ""
        self.scheme = "http"
        self.certificate: str | None = None  # its thumbprint, of the one that the client showed
        self._going = False
        self._drains = self._closes_when_sent = False  # the client has still to read the answer
        self._has_ended = False  # it sends no more, but may still read
        self._reading = Reading(handler.read_rate, handler.observer)
        self._ending = Ending(self._reading)
        self._presence = Presence(self._keepalive_timeout)
        self.downstream: Downstream | None = None  # of what is answered by a task

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if isinstance(peer := transport.get_extra_info("peername"), tuple):
            self.peer = peer[0]
        if self.transport is not None:
            keep_little(self.transport)
        if transport.get_extra_info("sslcontext") is not None:
            self.scheme = "https"
            self.certificate = certificate_of(transport)

    @override
    def connection_lost(self, exc: BaseException | None) -> None:
        super().connection_lost(exc)
        self._presence.end()
        self._ending.stop()
        if self.relay is not None:
            self.relay.client_gone()
        self._handler.at_once.leave(self)
        self.downstream = None  # which holds us

    @override
    def octets_received(self, octets: memoryview) -> None:
        self.data_received(bytes(octets))

    @override
    def data_received(self, data: bytes) -> None:
        if self._force_close or self._close or self._closes_when_sent:
            return
        if self._payload_parser is not None or self._upgraded:
            super().data_received(data)
            return
        parser = self._parser
        assert parser is not None  # noqa: S101
        tail = b""
        messages: Any
        try:
            messages, self._upgraded, tail = parser.feed_data(data)
        except HttpProcessingError as error:
            refused = _ErrInfo(status=400, exc=error, message=error.message)
            messages = ((refused, EMPTY_PAYLOAD),)
        if tail and self._upgraded:
            self._message_tail = tail
        self.watch_head(data, messages)
        if messages:
            self._request_count += len(messages)
            self._messages.extend(messages)
            if not self._buffer_paused and len(self._messages) >= self._max_msg_queue_size:
                # The parser keeps the rest: taking a few from the queue reads no more of it.
                self._pause_reading_for_buffer()
                self._presence.watch(self)
            self.go_on()

    @override
    def eof_received(self) -> bool:  # type: ignore[override]
        """Hear that the client sends no more; say whether it is still to be answered.

        It is, what it has asked whole, if the answer begins soon. A client that has gone looks the
        same until it is written to, and upstream must not work for it for long.
        """
        answering = self.relay or self.downstream
        if not self._has_ended and self._is_unanswered():
            self._has_ended = True
            self._loop.call_later(_BEGINS_SECONDS, self._expect_answer)
        elif answering is not None and answering.is_amid and not self._upgraded:
            # Where its end is that of the connection, half an answer would pass for the whole.
            self.reset()
        return self._has_ended

    def _is_unanswered(self) -> bool:
        asked = [payload for _, payload in self._messages]
        if self._taken is not None:
            asked.append(self._taken)
        return (
            self.transport is not None
            and self.scheme == "http"  # asyncio knows no half of TLS
            and not (self._upgraded or self._has_begun())
            and (bool(asked) or self.relay is not None)
            and all(payload.is_eof() for payload in asked)
        )

    def _has_begun(self) -> bool:
        answering = self.relay or self.downstream
        return self._drains or (answering is not None and answering.is_begun)

    def _expect_answer(self) -> None:
        if self.transport is not None and not self._has_begun():
            self.reset()

    @override
    def pause_writing(self) -> None:
        super().pause_writing()
        if self.transport is not None:
            self._reading.begin(self.transport)
        if self.relay is not None:
            self.relay.client_paused()

    @override
    def resume_writing(self) -> None:
        super().resume_writing()
        if self._ending.transport is None:  # else it is waited for until all is written
            self._reading.end()
        if self.relay is not None:
            self.relay.client_resumed()
        elif self._drains:
            self._drains = False
            self._proceed()

    @override
    async def shutdown(self, timeout: float | None = 15.0) -> None:
        if self.relay is not None or self._drains or self._ending.is_stuck:
            self.reset()
        if self.downstream is not None and self.downstream.farewell is not None:
            timeout = self.downstream.farewell()
        await super().shutdown(timeout)

    @override
    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        finished = await super().finish_response(request, resp, start_time)
        self.downstream = None
        if not resp.keep_alive or (self._has_ended and not self._messages):
            self._end()
        return finished

    @property
    @override
    def is_idle(self) -> bool:
        """Say whether no request has come that is not yet answered."""
        if self._ending.transport is not None:
            return self._ending.is_idle
        return not self._messages and self._answers_nothing()

    def send(self, octets: bytes) -> None:
        """Write to the client; nothing happens when it has gone."""
        if self.transport is not None and octets:
            self.transport.write(octets)

    def reset(self) -> None:
        """Break the connection so that no client takes the part for the whole."""
        if (transport := self.transport or self._ending.transport) is not None:
            reset(transport)

    def done(self, stays: bool) -> None:  # noqa: FBT001 - on the hot path
        """Hear that the relay has ended; go on with the next request, or end the connection."""
        self.relay = None
        self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout
        self._closes_when_sent = self._closes_when_sent or not stays
        if self.transport is None:
            return
        if self._paused:
            # Else one that sends and never reads has us keep every answer.
            self._drains = True
        else:
            self._proceed()

    def _proceed(self) -> None:
        if self._closes_when_sent:
            self._end()
        else:
            self.go_on()

    def _end(self) -> None:
        transport = self.transport
        if transport is None or self._has_ended or not self._ending.begin(transport):
            self.force_close()
            return
        self.transport = None
        super().force_close()

    @override
    def force_close(self) -> None:
        if (transport := self.transport or self._ending.transport) is not None:
            self._ending.finish(transport)
            self.transport = None
        super().force_close()

    @override
    def go_on(self) -> None:
        """Answer what is at the head of the queue, unless something is being answered."""
        if self._going:
            return
        self._going = True
        try:
            while (
                self._messages
                and not self._closes_when_sent
                and not self._force_close
                and self._answers_nothing()
            ):
                message, payload = self._messages[0]
                if not (isinstance(message, RawRequestMessage) and self._take(message, payload)):
                    if self.turn is None:
                        assert self._waiter is not None  # noqa: S101
                        self._waiter.set_result(None)
                    return
        finally:
            self._going = False
        if self._has_ended and self.is_idle:
            self._end()

    def _answers_nothing(self) -> bool:
        return (
            self.relay is None
            and (self.turn is None or self.turn.has_come)
            and not self._drains
            # Else aiohttp's own way is at work, and takes the next by itself.
            and self._waiter is not None
            and not self._waiter.done()
        )

    def _take(self, message: RawRequestMessage, payload: StreamReader) -> bool:
        try:
            if not self._handler.at_once.take(self, message, payload):
                return False
        except Exception:
            log.exception("a request could not be carried out")
            self._handler.at_once.give_up(self, message)
        self._messages.popleft()
        if self._parser is not None:
            self._parser.message_consumed()
        if self._buffer_paused and len(self._messages) <= self._msg_queue_resume_size:
            self._resume_reading_if_drained()
        return True

    @override
    def _process_keepalive(self) -> None:
        if self.relay is not None or self.turn is not None or self._drains:
            # aiohttp's own way is idle, but the connection is not.
            self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout
        super()._process_keepalive()
