"""The reverse proxy: read a request, ask for the decision, forward what is granted.

It only translates. What it decides by itself is what a parser lets through and two programs could
read differently (``request_head.check_head``), and those refusals go the same way as all others.
"""

import logging
import secrets
from dataclasses import dataclass

from aiohttp import web
from aiohttp.http import RawRequestMessage
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader
from aiohttp.web_protocol import RequestHandler

from sidecar.authorize import Authorizer
from sidecar.core.decision import Decision, Denied, Deny, DenyReason, Grant
from sidecar.core.request import AccessRequest, check_method, read_target
from sidecar.fronts.reverse_proxy.client_connection import ClientConnection
from sidecar.fronts.reverse_proxy.downstream import Downstream
from sidecar.fronts.reverse_proxy.exchange import Exchange
from sidecar.fronts.reverse_proxy.framing import Framing
from sidecar.fronts.reverse_proxy.refusal import refusal_of
from sidecar.fronts.reverse_proxy.relay import Relay
from sidecar.fronts.reverse_proxy.request_head import HeadRules, RequestHead, check_head
from sidecar.fronts.reverse_proxy.upstream import Upstream
from sidecar.fronts.reverse_proxy.upstream.request_head import write_request_head
from sidecar.ports import Clock, Observer
from sidecar.streams import Streams

log = logging.getLogger(__name__)

_CLIENT_GONE = 499  # as nginx logs it: nobody was there to get a status
_LONGEST_LOGGED = 256


@dataclass(frozen=True, slots=True)
class Parts:
    """What the front works with. ``realm`` is the one that challenges name (RFC 9110, 11.5)."""

    authorizer: Authorizer
    streams: Streams
    upstream: Upstream
    head_rules: HeadRules
    clock: Clock
    observer: Observer
    realm: str = "sidecar"
    idle_seconds: float = 300.0


class Handler:
    """Answers each request; given to ``web.Server``."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self.is_leaving = False  # then every response is its connection's last
        self.busy: set[RequestHandler] = set()

    @property
    def idle_seconds(self) -> float:
        """How long a client may leave unread what was sent to it."""
        return self._parts.idle_seconds

    def take(
        self, client: ClientConnection, message: RawRequestMessage, payload: StreamReader
    ) -> bool:
        """Answer a request at once, or begin to relay it; return False when it has to wait.

        Nothing has happened then, and ``handle`` is to answer it.
        """
        parts = self._parts
        if message.upgrade or message.chunked or not payload.is_eof() or payload.exception():
            return False
        head = parts.head_rules.read(message.raw_headers)
        if head.upgrade or head.expect or message.method == "CONNECT":
            return False
        began = parts.clock.steady()
        version = message.version
        asked, problem = _read_access_request(
            message.method, message.path, version, head,
            parts.head_rules.trusted.client(client.peer, head.forwarded_for),
        )  # fmt: skip
        decision: Decision | None = problem
        if decision is None:
            decision = parts.authorizer.authorize_now(asked)
            if decision is None:
                return False
        else:
            parts.observer.decided(asked, decision, 0.0)
        stays = not (message.should_close or self.is_leaving)
        framing = Framing(message.method, version, stays=stays)
        match decision:
            case Deny() as deny:
                # As where the body was not read: how long it is may be what is wrong with it.
                framing.stays = stays and not head.announces_body
                self._refuse_now(client, framing, deny, asked, began)
            case Grant() as grant:
                self._relay(client, framing, grant, asked, head, message, payload, began)
        return True

    def give_up(self, client: ClientConnection, message: RawRequestMessage) -> None:
        """Answer a request that one of our own faults ended; the connection ends with it."""
        deny = Deny(DenyReason.INTERNAL_ERROR, "see the log")
        if client.relay is not None:
            client.relay.refuse(deny)
            return
        asked = AccessRequest(message.method, "", "", "", (), client.peer, secrets.token_hex(8))
        began = self._parts.clock.steady()
        framing = Framing(message.method, message.version, stays=False)
        self._refuse_now(client, framing, deny, asked, began)

    def _relay(
        self,
        client: ClientConnection,
        framing: Framing,
        grant: Grant,
        asked: AccessRequest,
        head: RequestHead,
        message: RawRequestMessage,
        payload: StreamReader,
        began: float,
    ) -> None:
        parts = self._parts
        body = b"" if payload is EMPTY_PAYLOAD else payload.read_nowait(-1)
        try:
            if head.content_length and int(head.content_length[0]) != len(body):
                # However the parser came to see it so: upstream would take what comes next for it.
                raise Denied(DenyReason.MALFORMED_REQUEST, "a body that is not of its length")
            fields = parts.head_rules.write(
                head, grant.principal,
                peer=client.peer, scheme=client.scheme, request_id=asked.request_id,
            )  # fmt: skip
        except Denied as denied:
            framing.stays = False
            self._refuse_now(client, framing, Deny(denied.reason, denied.detail), asked, began)
            return
        client.relay = relay = Relay(parts, client, asked, framing, began)
        self.busy.add(client)
        # The raw target, which `read_target` has judged and only split.
        octets = write_request_head(message.method, message.path, fields)
        relay.start(grant, octets + body if body else octets)

    def _refuse_now(
        self,
        client: ClientConnection,
        framing: Framing,
        deny: Deny,
        asked: AccessRequest,
        began: float,
    ) -> None:
        refusal = refusal_of(deny, realm=self._parts.realm, request_id=asked.request_id)
        client.send(framing.whole(refusal.status, refusal.fields, refusal.body))
        self._parts.observer.answered(asked, refusal.status, self._parts.clock.steady() - began)
        client.done(framing.stays)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request. Whatever fails, nothing ungranted is forwarded."""
        began = self._parts.clock.steady()
        response = Downstream(request, self._parts.idle_seconds)
        if self.is_leaving:
            response.close_after()
        head = self._parts.head_rules.read(request.raw_headers)
        peer = _peer_of(request)
        asked, problem = _read_access_request(
            request.method, request.raw_path, request.version, head,
            self._parts.head_rules.trusted.client(peer, head.forwarded_for),
        )  # fmt: skip
        self.busy.add(request.protocol)
        try:
            await self._answer(request, response, head, asked, problem, peer)
        except ConnectionError:
            response.abort()  # the client has gone: there is nobody to refuse
        finally:
            self.busy.discard(request.protocol)
            self._parts.observer.answered(
                asked, response.sent_status or _CLIENT_GONE, self._parts.clock.steady() - began
            )
        return response

    def refuse_unread(self, request: web.BaseRequest, deny: Deny) -> web.StreamResponse:
        """Answer what could not be read as a request; the connection ends with it."""
        response = Downstream(request, self._parts.idle_seconds)
        asked = AccessRequest("", "", "", "", (), _peer_of(request), secrets.token_hex(8))
        self._parts.observer.decided(asked, deny, 0.0)
        response.close_after()
        self._refuse(response, deny, asked)
        self._parts.observer.answered(asked, response.sent_status, 0.0)
        return response

    async def _answer(
        self,
        request: web.BaseRequest,
        response: Downstream,
        head: RequestHead,
        asked: AccessRequest,
        problem: Deny | None,
        peer: str,
    ) -> None:
        if problem is None:
            decision = self._parts.authorizer.authorize_now(asked)
            if decision is None:
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
                exchange = Exchange(self._parts, request, response, head, asked, decision, peer)
                await exchange.run()

    def _refuse(self, response: Downstream, deny: Deny, asked: AccessRequest) -> None:
        refusal = refusal_of(deny, realm=self._parts.realm, request_id=asked.request_id)
        response.answer(refusal.status, refusal.fields, refusal.body)


def _read_access_request(
    method: str, target: str, version: tuple[int, int], head: RequestHead, client: str
) -> tuple[AccessRequest, Deny | None]:
    problem: Deny | None = None
    try:
        path, query = _read_target(method, target)
        check_head(head, version)
    except Denied as denied:
        problem = Deny(denied.reason, denied.detail)
        path, query = target.partition("?")[0][:_LONGEST_LOGGED], ""
    return (
        AccessRequest(
            method, head.host, path, query, tuple(head.authorization), client, secrets.token_hex(8)
        ),
        problem,
    )


def _read_target(method: str, target: str) -> tuple[str, str]:
    try:
        return read_target(target, method)
    except Denied:
        check_method(method)  # CONNECT has no path, but is refused as the method that it is
        raise


def _peer_of(request: web.BaseRequest) -> str:
    peer = request.protocol.peername
    return peer[0] if isinstance(peer, tuple) else ""
