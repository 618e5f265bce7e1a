"""One granted call on its way: to upstream and back, or cut.

Each direction reads one message and writes it before it reads the next: a fast sender waits for a
slow reader, and no message waits here.
"""

import asyncio
import logging
from collections.abc import Awaitable
from typing import TYPE_CHECKING

import grpc
import grpc.aio

from sidecar.core.decision import Grant
from sidecar.core.request import AccessRequest
from sidecar.fronts.grpc_proxy.metadata import Metadatum, Unsendable, going_down
from sidecar.fronts.grpc_proxy.status import (
    FAILED,
    GOING_AWAY,
    TOO_LARGE,
    Status,
    status_of_cut,
    status_of_failure,
)
from sidecar.fronts.grpc_proxy.upstream import Call, is_too_large, send
from sidecar.ports import CutReason, StreamKind, UpstreamError

if TYPE_CHECKING:
    from sidecar.fronts.grpc_proxy.handler import Parts

log = logging.getLogger(__name__)

Context = grpc.aio.ServicerContext[bytes, bytes]

# A deadline within this makes a call one that has an end of its own.
_OWN_END_SECONDS = 600.0
_GONE_SECONDS = 1.0
_ENDED = (
    grpc.aio.AioRpcError, grpc.aio.UsageError, grpc.aio.InternalError, asyncio.InvalidStateError,
)  # fmt: skip


class Exchange:
    """Carries one grant out. Make it in the turn of the event loop in which it was decided."""

    def __init__(
        self, parts: "Parts", context: Context, asked: AccessRequest, grant: Grant
    ) -> None:
        self._parts = parts
        self._context = context
        self._asked = asked
        self._grant = grant
        self._task = asyncio.current_task()
        self._call: Call | None = None
        self._ending: Status | None = None

    async def run(self, metadata: tuple[Metadatum, ...]) -> Status:
        """Carry the call, and return how it ended. Raises nothing but ``CancelledError``."""
        remaining: float | None = self._context.time_remaining()
        with self._parts.streams.registered(self._grant, StreamKind.GRPC, self._cut) as stream:
            # An hour's deadline is no end that a token's expiry may wait for.
            stream.is_endless = remaining is None or remaining > _OWN_END_SECONDS
            try:
                if self._asked.record is not None:
                    self._asked.record.asked(self._parts.upstream.target)
                call = self._call = self._parts.upstream.call(self._asked.path, metadata, remaining)
                return await self._carry(call)
            except asyncio.CancelledError:
                return self._end_cancelled()
            except Exception:
                log.exception("a granted call could not be carried out")
                return FAILED
            finally:
                self._end_upstream()
                if self._asked.record is not None:
                    self._asked.record.upstream_ended()

    def leave(self) -> None:
        """End the call, because the sidecar ends."""
        self._end(GOING_AWAY)

    async def _carry(self, call: Call) -> Status:
        async with asyncio.TaskGroup() as tasks:
            up = tasks.create_task(self._send_up(call))
            try:
                return await self._send_down(call)
            finally:
                up.cancel()

    async def _send_up(self, call: Call) -> None:
        try:
            while isinstance(message := await self._context.read(), bytes):
                await send(call, message)
            # The library says "no more" also when the client gave up, and of that a moment later.
            # Another read returns after that moment. Without it, upstream would take what it got of
            # a broken upload for the whole.
            await self._context.read()
            if self._task is not None and not self._task.cancelling():
                await call.done_writing()
        except _ENDED:
            pass  # upstream has ended the call, and `_send_down` reads how

    async def _send_down(self, call: Call) -> Status:
        try:
            initial = going_down(await call.initial_metadata())
            if self._asked.record is not None:
                self._asked.record.received(None)
            # What came as trailers alone goes on so: only then do clients try again by themselves.
            if initial or not call.done():
                await self._to_client(self._context.send_initial_metadata(initial))
            while isinstance(message := await call.read(), bytes):
                await self._to_client(self._context.write(message))
            trailers = going_down(await call.trailing_metadata())
            return Status(await call.code(), await call.details(), trailers)
        except grpc.aio.AioRpcError as error:
            return self._status_of(error)
        except Unsendable as name:
            return self._fail(UpstreamError.MALFORMED, f"metadata {name} beyond printable ASCII")

    async def _to_client(self, sending: Awaitable[None]) -> None:
        try:
            await sending
        except grpc.aio.InternalError:
            # The client has gone; the library cancels us for it in a moment.
            await asyncio.sleep(_GONE_SECONDS)
            raise asyncio.CancelledError from None

    def _status_of(self, error: grpc.aio.AioRpcError) -> Status:
        if is_too_large(error):
            return TOO_LARGE
        failure = self._parts.upstream.failure_of(error)
        if failure is not None:
            return self._fail(failure, error.details() or "")
        try:
            trailers = going_down(error.trailing_metadata() or ())
        except Unsendable as name:
            return self._fail(UpstreamError.MALFORMED, f"metadata {name} beyond printable ASCII")
        return Status(error.code(), error.details() or "", trailers)

    def _fail(self, failure: UpstreamError, detail: str) -> Status:
        request_id = self._asked.request_id
        log.warning("upstream failed: %s (%s), call %s", failure, detail[:256], request_id)
        self._parts.observer.upstream_failed(self._asked, failure)
        return status_of_failure(failure)

    def _cut(self, reason: CutReason) -> None:
        if self._asked.trace is not None:
            self._asked.trace.cut(reason.value)
        realm, request_id = self._parts.realm, self._asked.request_id
        self._end(status_of_cut(reason, realm=realm, request_id=request_id))

    def _end(self, status: Status) -> None:
        if self._ending is None and self._task is not None:
            self._ending = status
            self._end_upstream()
            self._task.cancel()

    def _end_upstream(self) -> None:
        if self._call is not None:
            self._call.cancel()

    def _end_cancelled(self) -> Status:
        if self._ending is None or self._task is None or self._task.uncancel() > 0:
            raise asyncio.CancelledError  # the client has gone, or the server stops
        return self._ending
