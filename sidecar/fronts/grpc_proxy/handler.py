"""The gRPC proxy's handler: read a call, ask for the decision, carry out what is granted."""

import asyncio
import logging
from dataclasses import dataclass
from functools import partial

import grpc
import grpc.aio
from typing_extensions import override

from sidecar.authorize import Authorizer
from sidecar.core.decision import Decision, Deny, Grant
from sidecar.core.protection import SIDECAR, Realm
from sidecar.core.request import AccessRequest
from sidecar.core.trace import Door, Tracer
from sidecar.fronts.grpc_listener import read_peer
from sidecar.fronts.grpc_proxy.asking import read_access_request, read_certificate
from sidecar.fronts.grpc_proxy.exchange import Context, Exchange
from sidecar.fronts.grpc_proxy.metadata import CallHead, MetadataRules
from sidecar.fronts.grpc_proxy.status import CLIENT_GONE, FAILED, Status, status_of
from sidecar.fronts.grpc_proxy.upstream import Upstream
from sidecar.ports import Clock, Observer
from sidecar.streams import Streams

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Parts:
    """What the front works with. ``realm`` is the one that challenges name (RFC 9110, 11.5).

    ``tracer`` is there where calls are traced.
    """

    authorizer: Authorizer
    streams: Streams
    upstream: Upstream
    rules: MetadataRules
    clock: Clock
    observer: Observer
    scheme: str = "http"
    realm: Realm = SIDECAR
    tracer: Tracer | None = None


class Handler(grpc.GenericRpcHandler):
    """Answers each call, whatever its service and method, as a stream both ways."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._under_way: set[Exchange] = set()
        self._calls = 0

    @property
    def calls(self) -> int:
        """How many calls have not ended."""
        return self._calls

    @override
    def service(
        self, handler_call_details: grpc.HandlerCallDetails
    ) -> "grpc.RpcMethodHandler[bytes, bytes]":
        answer = partial(self._answer, handler_call_details.method)
        return grpc.stream_stream_rpc_method_handler(answer)

    def leave(self) -> None:
        """End all calls that are under way."""
        for exchange in list(self._under_way):
            exchange.leave()

    async def _answer(self, method: str, requests: object, context: Context) -> None:
        del requests  # messages are read one by one
        self._calls += 1
        try:
            _end(context, await self._status_of(method, context))
        except Exception:
            # Whatever it is: the library would tell the client of it.
            log.exception("a call failed")
            _end(context, FAILED)
        finally:
            self._calls -= 1

    async def _status_of(self, method: str, context: Context) -> Status:
        began = self._parts.clock.steady()
        head = self._parts.rules.read(context.invocation_metadata() or ())
        peer = read_peer(context.peer())
        client = self._parts.rules.trusted.client(peer, head.forwarded_for)
        asked, problem = read_access_request(method, head, client)
        asked.shown = self._parts.rules.shown.shown(
            head.proofs,
            head.certificates,
            read_certificate(context.auth_context()),
            by_proxy=self._parts.rules.trusted.trusts(peer),
        )
        if self._parts.tracer is not None:
            trusted = self._parts.rules.trusted.trusts(peer)
            asked.trace = self._parts.tracer.begin(
                Door.GRPC, peer, self._parts.scheme, head.trace, trusted=trusted
            )
        status = FAILED
        try:
            status = await self._decide(context, head, asked, problem, peer)
        except asyncio.CancelledError:
            status = CLIENT_GONE
            raise
        finally:
            seconds = self._parts.clock.steady() - began
            self._parts.observer.call_ended(asked, status.code.name, seconds)
        return status

    async def _decide(
        self,
        context: Context,
        head: CallHead,
        asked: AccessRequest,
        problem: Deny | None,
        peer: str,
    ) -> Status:
        if problem is None:
            decision: Decision | None = self._parts.authorizer.authorize_now(asked)
            if decision is None:
                decision = await self._parts.authorizer.authorize(asked)
        else:
            self._parts.observer.decided(asked, problem, 0.0)
            decision = problem
        # No await between the decision and the exchange's registration: see `streams`.
        match decision:
            case Deny():
                return status_of(decision, realm=self._parts.realm, request_id=asked.request_id)
            case Grant():
                return await self._carry(context, head, asked, decision, peer)

    async def _carry(
        self, context: Context, head: CallHead, asked: AccessRequest, grant: Grant, peer: str
    ) -> Status:
        metadata = self._parts.rules.write(
            head,
            grant.principal,
            peer=peer,
            scheme=self._parts.scheme,
            request_id=asked.request_id,
        )
        if asked.trace is not None:
            told = asked.trace.fields()
            metadata += tuple((name.decode(), value.decode()) for name, value in told)
        exchange = Exchange(self._parts, context, asked, grant)
        self._under_way.add(exchange)
        try:
            return await exchange.run(metadata)
        finally:
            self._under_way.discard(exchange)


def _end(context: Context, status: Status) -> None:
    context.set_trailing_metadata(status.trailers)
    context.set_code(status.code)
    context.set_details(status.details)
