"""The reverse proxy: read a request, ask for the decision, forward what is granted.

It only translates. What it decides by itself is what a parser lets through and two programs could
read differently (``head_check.check_head``), and those refusals go the same way as all others.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from aiohttp import web

from sidecar.account_mirror import AccountMirror
from sidecar.authorize import Authorizer
from sidecar.core.decision import Decision, Deny, Grant
from sidecar.core.gateway_change import GatewayChange
from sidecar.core.protection import SIDECAR, Realm
from sidecar.core.request import AccessRequest
from sidecar.core.trace import Door, Tracer
from sidecar.fronts.asking import make_request_id, read_access_request
from sidecar.fronts.prepared_head import PreparedHead, prepare_head
from sidecar.fronts.refusal import refusal_of
from sidecar.fronts.request_head import HeadRules, RequestHead
from sidecar.fronts.resource_metadata import ResourceMetadata
from sidecar.fronts.reverse_proxy.at_once import AtOnce
from sidecar.fronts.reverse_proxy.client_connection import ClientConnection
from sidecar.fronts.reverse_proxy.downstream import Downstream
from sidecar.fronts.reverse_proxy.exchange import Exchange, scheme_of
from sidecar.fronts.reverse_proxy.mirrored import MirroredExchange
from sidecar.fronts.reverse_proxy.pace import BodyRate
from sidecar.fronts.reverse_proxy.upstream import Upstream
from sidecar.fronts.tracing import trace_beginner
from sidecar.ports import Clock, Observer
from sidecar.streams import Streams

log = logging.getLogger(__name__)

_CLIENT_GONE = 499  # as nginx logs it: nobody was there to get a status
_LONGEST_LOGGED = 256


@dataclass(frozen=True, slots=True)
class Parts:
    """What the front works with. ``realm`` is the one that challenges name (RFC 9110, 11.5).

    ``mirror`` follows what changes the gateway's accounts, where that is wanted; ``metadata`` are
    answered for here. ``idle_seconds``
    bounds how long nothing of a body may come from, or go to, an end; ``body_rate`` how slowly a
    client may send, ``read_rate`` how slowly it may read. ``tracer`` is there where requests are
    traced.
    """

    authorizer: Authorizer
    streams: Streams
    upstream: Upstream
    head_rules: HeadRules
    clock: Clock
    observer: Observer
    realm: Realm = SIDECAR
    idle_seconds: float = 300.0
    mirror: AccountMirror | None = None
    body_rate: BodyRate = field(default_factory=BodyRate)
    read_rate: BodyRate = field(default_factory=partial(BodyRate, grace=60.0))
    metadata: ResourceMetadata | None = None
    tracer: Tracer | None = None


class Handler:
    """Answers each request; given to ``web.Server``."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._begin_trace = trace_beginner(parts.tracer, Door.HTTP, parts.head_rules)
        self.is_leaving = False  # then every response is its connection's last
        self.at_once = AtOnce(parts, self)

    @property
    def read_rate(self) -> BodyRate:
        """How slowly a client may read what is sent to it."""
        return self._parts.read_rate

    @property
    def observer(self) -> Observer:
        """Who hears what happens."""
        return self._parts.observer

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request. Whatever fails, nothing ungranted is forwarded."""
        began = self._parts.clock.steady()
        response = Downstream(request)
        if isinstance(request.protocol, ClientConnection):
            request.protocol.downstream = response
        if self.is_leaving:
            response.close_after()
        peer = _peer_of(request)
        prepared = self._prepare(request, peer)
        head = prepared.head
        if head.upgrade:
            # The parser drops what came behind it in the same read: no request may follow, or the
            # answers of a connection that others share would go astray.
            response.close_after()
        asked, problem = read_access_request(request.method, request.raw_path, prepared)
        if self._begin_trace is not None:
            asked.trace = self._begin_trace(prepared, peer, scheme_of(request))
        try:
            await self._answer(request, response, head, asked, problem, peer)
        except ConnectionError:
            response.abort()  # the client has gone: there is nobody to refuse
        finally:
            self._parts.observer.answered(
                asked, response.sent_status or _CLIENT_GONE, self._parts.clock.steady() - began
            )
        return response

    def refuse_unread(self, request: web.BaseRequest, deny: Deny) -> web.StreamResponse:
        """Answer what could not be read as a request; the connection ends with it."""
        response = Downstream(request)
        asked = AccessRequest("", "", "", "", (), _peer_of(request), make_request_id())
        self._parts.observer.decided(asked, deny, 0.0)
        response.close_after()
        self._refuse(response, deny, asked)
        self._parts.observer.answered(asked, response.sent_status, 0.0)
        return response

    def _prepare(self, request: web.BaseRequest, peer: str) -> PreparedHead:
        """Return the head, with what was found of its token where it was read before.

        What has to wait was looked at once already, when it came: see ``at_once``.
        """
        client = request.protocol
        prepared = client.prepared if isinstance(client, ClientConnection) else None
        if prepared is not None and prepared.is_of(request.raw_headers, request.version):
            return prepared
        return prepare_head(
            self._parts.head_rules, request.raw_headers, request.version, peer,
            _certificate_of(request),
        )  # fmt: skip

    async def _answer(
        self,
        request: web.BaseRequest,
        response: Downstream,
        head: RequestHead,
        asked: AccessRequest,
        problem: Deny | None,
        peer: str,
    ) -> None:
        metadata = self._parts.metadata
        if problem is None and metadata is not None and asked.path == metadata.path:
            self._tell(metadata, response, head, asked)
            return
        if problem is None:
            decision = await self._parts.authorizer.authorize(asked)
        else:
            self._parts.observer.decided(asked, problem, 0.0)
            decision = problem
        # No await between the decision and the exchange's registration: see `streams`.
        await self._enforce(decision, request, response, head, asked, peer)

    async def _enforce(
        self,
        decision: Decision,
        request: web.BaseRequest,
        response: Downstream,
        head: RequestHead,
        asked: AccessRequest,
        peer: str,
    ) -> None:
        match decision:
            case Deny():
                if head.announces_body or request.method == "CONNECT":
                    # What is left of the body is not read; and after CONNECT no HTTP may follow.
                    response.close_after()
                self._refuse(response, decision, asked)
            case Grant():
                make = self._exchange_of(asked, decision)
                await make(self._parts, request, response, head, asked, decision, peer).run()

    def change_of(self, method: str, target: str) -> GatewayChange | None:
        """Return what a request changes of the gateway's accounts, where that is followed."""
        mirror = self._parts.mirror
        return None if mirror is None else mirror.change_of(method, target.partition("?")[0])

    def _exchange_of(self, asked: AccessRequest, grant: Grant) -> Callable[..., Exchange]:
        change = self.change_of(asked.method, asked.path)
        if change is None or self._parts.mirror is None:
            return Exchange
        if grant.shadowed is not None:
            # Nobody vouches for it: what it makes of the gateway's accounts makes none of ours.
            log.warning(
                "a change of an account passes in shadow and is not followed, request %s",
                asked.request_id,
            )
            return Exchange
        return partial(MirroredExchange, self._parts.mirror, change)

    def _tell(
        self,
        metadata: ResourceMetadata,
        response: Downstream,
        head: RequestHead,
        asked: AccessRequest,
    ) -> None:
        if head.announces_body:
            response.close_after()  # it is not read
        self._parts.observer.decided(asked, metadata.grant, 0.0)
        answer = metadata.answer(asked.method)
        response.answer(answer.status, answer.fields, answer.body)

    def _refuse(self, response: Downstream, deny: Deny, asked: AccessRequest) -> None:
        refusal = refusal_of(deny, realm=self._parts.realm, request_id=asked.request_id)
        response.answer(refusal.status, refusal.fields, refusal.body)


def _peer_of(request: web.BaseRequest) -> str:
    peer = request.protocol.peername
    return peer[0] if isinstance(peer, tuple) else ""


def _certificate_of(request: web.BaseRequest) -> str | None:
    protocol = request.protocol
    return protocol.certificate if isinstance(protocol, ClientConnection) else None
