"""One granted request on its way: to upstream and back, or cut.

A cut before the answer began is an answer too (401 or 503); after that only breaking the connection
keeps a client from taking the part for the whole.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from aiohttp import web
from aiohttp.http import HttpVersion11
from aiohttp.web_protocol import RequestPayloadError

from sidecar.core.decision import Denied, Deny, DenyReason, Grant
from sidecar.core.request import AccessRequest
from sidecar.fronts.refusal import refusal_of, upstream_refusal
from sidecar.fronts.request_head import RequestHead
from sidecar.fronts.reverse_proxy.cutting import deny_reason_of, words_of
from sidecar.fronts.reverse_proxy.downstream import Downstream, LongBody, ShortBody
from sidecar.fronts.reverse_proxy.pace import Pace
from sidecar.fronts.reverse_proxy.response_head import (
    Field,
    SplitResponse,
    has_body,
)
from sidecar.fronts.reverse_proxy.tunnel import Tunnel
from sidecar.fronts.reverse_proxy.upstream import Answer, UpstreamFailed
from sidecar.fronts.reverse_proxy.upstream.policy import level_of
from sidecar.fronts.reverse_proxy.websocket import is_accepted, read_handshake_key
from sidecar.ports import CutReason, StreamKind, UpstreamError
from sidecar.streams import Stream

if TYPE_CHECKING:
    from sidecar.fronts.reverse_proxy.handler import Parts

log = logging.getLogger(__name__)

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Exchange:
    """Carries one grant out."""

    def __init__(
        self,
        parts: "Parts",
        request: web.BaseRequest,
        response: Downstream,
        head: RequestHead,
        asked: AccessRequest,
        grant: Grant,
        peer: str,
    ) -> None:
        self._parts = parts
        self._request = request
        self._response = response
        self._head = head
        self._asked = asked
        self._grant = grant
        self._peer = peer
        self._task = asyncio.current_task()
        self._tunnel: Tunnel | None = None
        self._cut_reason: CutReason | None = None
        self._upload_problem: Deny | None = None
        self._stream: Stream  # while it runs
        self._gave_up = False

    async def run(self) -> None:
        """Forward the request and relay the answer. Raises nothing but ``CancelledError``."""
        is_websocket = (
            self._grant.route.websocket
            and self._head.wants_websocket
            and self._request.version >= HttpVersion11
        )
        kind = StreamKind.WEBSOCKET if is_websocket else StreamKind.HTTP
        with self._parts.streams.registered(self._grant, kind, self._cut) as self._stream:
            try:
                await (self._upgrade() if is_websocket else self._forward())
            except Denied as denied:
                self._refuse(Deny(denied.reason, denied.detail))
            except UpstreamFailed as failed:
                if self._upload_problem is not None:
                    self._refuse(self._upload_problem)  # not upstream's fault
                else:
                    self._fail(failed.error, failed.detail)
            except SplitResponse:
                self._fail(UpstreamError.MALFORMED, "control characters in the head")
            except (ShortBody, LongBody):
                self._fail(UpstreamError.MALFORMED, "the body is not of its length")
            except (ConnectionError, TimeoutError):
                self._response.abort()  # the client has gone, or reads nothing
            except asyncio.CancelledError:
                self._end_cancelled()
            except Exception:
                log.exception("a granted request could not be carried out")
                self._refuse(Deny(DenyReason.INTERNAL_ERROR))

    async def _forward(self) -> None:
        answer = await self._ask(self._fields(), self._body())
        try:
            await self._relay(answer)
        except BaseException:
            answer.close()
            raise
        # RFC 9112, 9.6: where upstream answered early, the rest of the body has no reader.
        answer.close()

    async def _relay(self, answer: Answer) -> None:
        if answer.status < 200:
            # Nobody asked for another protocol: bytes after this 101 would be a tunnel.
            raise UpstreamFailed(UpstreamError.MALFORMED, f"an unasked {answer.status}")
        fields = answer.end_to_end
        if answer.is_event_stream:
            self._stream.is_endless = True
        if not self._request.content.is_eof():
            self._response.close_after()
        if not has_body(self._request.method, answer.status):
            self._response.begin(answer.status, answer.reason, fields)
        else:
            self._response.begin(answer.status, answer.reason, fields, answer.at_hand())
            while piece := await answer.more():
                await self._response.send(piece)
        await self._response.end()

    async def _upgrade(self) -> None:
        key = read_handshake_key(self._request.method, self._request.raw_headers)
        if self._head.announces_body:
            raise Denied(DenyReason.MALFORMED_REQUEST, "a handshake with a body")
        self._response.close_after()
        fields = [*self._fields(), (b"Connection", b"Upgrade"), (b"Upgrade", b"websocket")]
        answer = await self._ask(fields, None, upgrade=True)
        try:
            if answer.status != 101:
                await self._relay(answer)  # upstream's refusal, in its own words
            else:
                await self._switch(answer, key)
        finally:
            answer.close()

    async def _switch(self, answer: Answer, key: bytes) -> None:
        if not is_accepted(key, answer.raw_headers):
            raise UpstreamFailed(UpstreamError.MALFORMED, "a 101 to no handshake of ours")
        self._response.switch(answer.reason, answer.end_to_end)
        self._tunnel = Tunnel(self._request, answer, self._parts.idle_seconds)
        self._response.farewell = self._tunnel.bid_farewell
        await self._tunnel.run()

    async def _ask(
        self, fields: list[Field], body: AsyncIterator[bytes] | None, *, upgrade: bool = False
    ) -> Answer:
        # The raw target, which `read_target` has judged and only split.
        request = self._request
        return await self._parts.upstream.ask(
            request.method,
            request.raw_path,
            fields,
            body,
            upgrade=upgrade,
            record=self._asked.record,
        )

    def _fields(self) -> list[Field]:
        told = self._parts.head_rules.write(
            self._head,
            self._grant.principal,
            peer=self._peer,
            scheme=scheme_of(self._request),
            request_id=self._asked.request_id,
        )
        if self._asked.trace is not None:
            told += self._asked.trace.fields()
        return told

    def _body(self) -> AsyncIterator[bytes] | None:
        if self._request.can_read_body:
            return self._upload()
        if self._head.content_length and int(self._head.content_length[0]):
            # However the parser came to see no body: upstream would take what comes next for it.
            raise Denied(DenyReason.MALFORMED_REQUEST, "a length without a body")
        return None

    async def _upload(self) -> AsyncIterator[bytes]:
        if (
            self._head.expects_continue
            and self._request.version >= HttpVersion11
            and self._request.transport is not None
        ):
            # Granted: only now is the client told to send (RFC 9110, 10.1.1).
            self._request.transport.write(_CONTINUE)
        content, seconds = self._request.content, self._parts.idle_seconds
        loop, pace = asyncio.get_running_loop(), Pace(self._parts.body_rate)
        try:
            # At once, even if empty: aiohttp holds the head back until the body begins, and the
            # client may wait for an answer before it sends any.
            piece = content.read_nowait()
            while True:
                stalled = loop.call_later(seconds, self._give_up)
                try:
                    yield piece
                finally:
                    stalled.cancel()
                began = loop.time()
                async with asyncio.timeout(pace.patience(seconds)):
                    piece = await content.readany()
                pace.came(len(piece), loop.time() - began)
                if not piece:
                    return
        # Both raised on, so that upstream sees the body break off and not end.
        except RequestPayloadError as broken:
            self._upload_problem = Deny(DenyReason.MALFORMED_REQUEST, type(broken).__name__)
            raise
        except TimeoutError:
            self._upload_problem = Deny(DenyReason.TOO_SLOW, "the body comes too slowly")
            raise

    def _give_up(self) -> None:
        """Upstream has stopped reading the body."""
        self._gave_up = True
        if self._task is not None:
            self._task.cancel()

    def _cut(self, reason: CutReason) -> None:
        self._cut_reason = reason
        if self._asked.trace is not None:
            self._asked.trace.cut(reason.value)
        if self._tunnel is not None:
            self._tunnel.cut(words_of(reason))
        elif self._response.is_begun:
            self._response.abort()
        elif self._task is not None:
            self._task.cancel()

    def _end_cancelled(self) -> None:
        ours = self._cut_reason is not None or self._gave_up
        if not ours or self._response.is_begun or self._request.transport is None:
            self._response.abort()
            raise asyncio.CancelledError
        # Our own doing, in `_cut` or `_give_up`, and not somebody's wish that the task end.
        assert self._task is not None  # noqa: S101
        self._task.uncancel()
        if self._cut_reason is not None:
            self._refuse(Deny(deny_reason_of(self._cut_reason), "cut before the answer"))
        else:
            self._fail(UpstreamError.IDLE_TIMEOUT, "it reads no more of the body")

    def _refuse(self, deny: Deny) -> None:
        if self._response.is_begun:
            self._response.abort()
            return
        refusal = refusal_of(deny, realm=self._parts.realm, request_id=self._asked.request_id)
        self._answer(refusal.status, refusal.fields, refusal.body)

    def _fail(self, error: UpstreamError, detail: str) -> None:
        log.log(
            level_of(error),
            "upstream failed: %s (%s), request %s",
            error,
            detail,
            self._asked.request_id,
        )
        self._parts.observer.upstream_failed(self._asked, error)
        if self._response.is_begun:
            self._response.abort()
            return
        refusal = upstream_refusal(error, request_id=self._asked.request_id)
        self._answer(refusal.status, refusal.fields, refusal.body)

    def _answer(self, status: int, fields: tuple[tuple[bytes, bytes], ...], body: bytes) -> None:
        self._response.close_after()
        try:
            self._response.answer(status, fields, body)
        except ConnectionError:
            self._response.abort()


def scheme_of(request: web.BaseRequest) -> str:
    """Return by what scheme the client speaks to us."""
    return "https" if request.protocol.ssl_context else "http"
