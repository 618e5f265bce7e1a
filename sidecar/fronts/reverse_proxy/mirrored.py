"""A request that changes the gateway's service accounts: our accounts change before its answer.

The body is read whole, the gateway asked, its answer read whole, the account stored, and only then
does the client get the answer, octet for octet. All that goes on when the client leaves or is cut:
what the gateway has done by then must not be lost.
"""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from typing_extensions import override

from sidecar.account_mirror import AccountMirror, NotMirrored
from sidecar.core.gateway_change import GatewayChange
from sidecar.fronts.reverse_proxy.exchange import Exchange
from sidecar.fronts.reverse_proxy.response_head import Field
from sidecar.fronts.reverse_proxy.upstream import UpstreamFailed
from sidecar.ports import UpstreamError

log = logging.getLogger(__name__)

MAX_BODY_BYTES = 64 * 1024
_MAX_ANSWER_BYTES = 1024 * 1024
_JSON: tuple[Field, ...] = ((b"Content-Type", b"application/json"), (b"Cache-Control", b"no-store"))


@dataclass(frozen=True, slots=True)
class _Told:
    """The gateway's answer."""

    status: int
    reason: bytes
    fields: list[Field]
    body: bytes


class TooLarge(Exception):
    """The request's body is longer than any account."""


class MirroredExchange(Exchange):
    """Carries one such grant out."""

    def __init__(self, mirror: AccountMirror, change: GatewayChange, /, *parts: Any) -> None:
        super().__init__(*parts)
        self._mirror = mirror
        self._change = change

    @override
    async def _forward(self) -> None:
        try:
            body = await self._read_whole()
        except TooLarge:
            self._tell(413, "request too large", "request_too_large")
            return
        work = self._parts.upstream.tasks.create_task(self._carry_out(body))
        outcome = await asyncio.shield(work)
        match outcome:
            case _Told():
                self._response.begin(outcome.status, outcome.reason, outcome.fields, outcome.body)
                await self._response.end()
            case NotMirrored():
                status = 503 if outcome.may_be_repeated else 502
                self._tell(status, str(outcome), "account_not_stored")
            case UpstreamFailed():
                raise outcome

    async def _read_whole(self) -> bytes | None:
        stream = self._body()
        if stream is None:
            return None
        body = bytearray()
        async for piece in stream:
            body += piece
            if len(body) > MAX_BODY_BYTES:
                raise TooLarge
        return bytes(body)

    async def _carry_out(self, body: bytes | None) -> "_Told | NotMirrored | UpstreamFailed":
        """Return what became of it. Raises nothing: nobody may be left to hear it."""
        principal = self._grant.principal
        try:
            seen = await self._mirror.look(self._change, body or b"", principal)
            hold = await self._mirror.before(self._change, body or b"", principal)
            told = await self._ask_whole(body)
            await self._mirror.after(self._change, seen, hold, told.status, told.body, principal)
        except (NotMirrored, UpstreamFailed) as failed:
            return failed
        except Exception:
            log.exception("a change of an account could not be carried out")
            return NotMirrored("internal server error, see the log", may_be_repeated=False)
        return told

    async def _ask_whole(self, body: bytes | None) -> _Told:
        fields = [field for field in self._fields() if field[0].lower() != b"accept-encoding"]
        answer = await self._ask(fields, None if body is None else _once(body))
        try:
            if answer.status < 200:
                raise UpstreamFailed(UpstreamError.MALFORMED, f"an unasked {answer.status}")
            whole = bytearray(answer.at_hand())
            while piece := await answer.more():
                whole += piece
                if len(whole) > _MAX_ANSWER_BYTES:
                    raise UpstreamFailed(UpstreamError.MALFORMED, "too long for an account")
            return _Told(answer.status, answer.reason, list(answer.end_to_end), bytes(whole))
        finally:
            answer.close()

    def _tell(self, status: int, message: str, error: str) -> None:
        told = {"message": message, "error": error, "request_id": self._asked.request_id}
        more = ((b"Retry-After", b"1"),) if status == 503 else ()
        self._answer(status, (*_JSON, *more), json.dumps(told).encode())


async def _once(body: bytes) -> AsyncIterator[bytes]:
    yield body
