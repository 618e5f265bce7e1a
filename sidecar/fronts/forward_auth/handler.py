"""The forward-auth door: a proxy holds a request back and asks whether it may pass.

It only translates. The proxy enforces, and carries the request; so nothing of it can be cut once
it has passed.
"""

from dataclasses import dataclass

from aiohttp import web

from sidecar.authorize import Authorizer
from sidecar.core.decision import Decision, Denied, Deny, DenyReason, Grant
from sidecar.core.dialect import Dialect
from sidecar.core.protection import SIDECAR, Realm
from sidecar.core.request import AccessRequest
from sidecar.core.trace import Door, Tracer
from sidecar.fronts.asking import make_request_id, read_access_request
from sidecar.fronts.forward_auth.original import Original, names_of, read_original
from sidecar.fronts.forward_auth.screen import Screen
from sidecar.fronts.prepared_head import PreparedHead, prepare_head
from sidecar.fronts.refusal import refusal_of
from sidecar.fronts.request_head import HeadRules
from sidecar.fronts.resource_metadata import ResourceMetadata
from sidecar.fronts.shown import PROOF, ShownRules
from sidecar.fronts.tracing import trace_beginner
from sidecar.ports import Clock, Observer

_PROXY_GONE = 499  # as nginx logs it: nobody was there to get a status
_SERVER = ("Server", "sidecar")
_NOT_KEPT = ("Cache-Control", "no-store")


@dataclass(frozen=True, slots=True)
class Parts:
    """What the front works with.

    ``prefix`` is the path at which proxies ask; ``head_rules.trusted`` are those that may.
    ``realm`` is the one that challenges name (RFC 9110, 11.5). ``metadata`` are answered for here,
    to proxies that send their clients' requests for them on. ``tracer`` is there where questions
    are traced.
    """

    authorizer: Authorizer
    head_rules: HeadRules
    dialect: Dialect
    prefix: str
    clock: Clock
    observer: Observer
    realm: Realm = SIDECAR
    metadata: ResourceMetadata | None = None
    tracer: Tracer | None = None


@dataclass(frozen=True, slots=True)
class _Question:
    """What a proxy asks, or why it gets no decision."""

    asked: AccessRequest
    problem: Deny | None = None


class Handler:
    """Answers each question; given to ``web.Server``."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._begin_trace = trace_beginner(parts.tracer, Door.FORWARD_AUTH, parts.head_rules)
        self._screen = Screen(parts.head_rules.identity, _told_names(parts))
        self.is_leaving = False  # then every answer is its connection's last

    @property
    def observer(self) -> Observer:
        """Who hears what happens."""
        return self._parts.observer

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one question. Whatever fails, the answer is no."""
        began = self._parts.clock.steady()
        question = self._read(request)
        status = _PROXY_GONE
        try:
            response = self._told_to_all(request) or self._answer(
                await self._decide(question), question.asked
            )
            if self.is_leaving or request.can_read_body or "Upgrade" in request.headers:
                # A body is not read; and behind an upgrade the parser sees no further question.
                response.force_close()
            status = response.status
            return response
        finally:
            self._parts.observer.answered(
                question.asked, status, self._parts.clock.steady() - began
            )

    def refuse_unread(self, request: web.BaseRequest, deny: Deny) -> web.StreamResponse:
        """Answer what could not be read as a request; the connection ends with it."""
        asked = _unread(_peer_of(request))
        self._parts.observer.decided(asked, deny, 0.0)
        response = self._answer(deny, asked)
        response.force_close()
        self._parts.observer.answered(asked, response.status, 0.0)
        return response

    def _told_to_all(self, request: web.BaseRequest) -> web.Response | None:
        """Return the metadata where the request is for them, and no question at all."""
        metadata, prefix = self._parts.metadata, self._parts.prefix
        path = request.raw_path.partition("?")[0]
        if (
            metadata is None
            or path != metadata.path
            or f"{path}/".startswith(f"{prefix}/")
            or not self._parts.head_rules.trusted.trusts(_peer_of(request))
        ):
            return None
        answer = metadata.answer(request.method)
        told = [(name.decode(), value.decode()) for name, value in answer.fields]
        return web.Response(status=answer.status, headers=[_SERVER, *told], body=answer.body)

    def _read(self, request: web.BaseRequest) -> _Question:
        rules, peer = self._parts.head_rules, _peer_of(request)
        if not rules.trusted.trusts(peer):
            # Nothing that it says is read, let alone logged.
            return _Question(
                _unread(peer), Deny(DenyReason.UNTRUSTED_PEER, "not one of the trusted proxies")
            )
        prepared = prepare_head(rules, request.raw_headers, request.version, peer)
        original, problem = Original("", "", ""), None
        try:
            original = read_original(
                self._parts.dialect, self._parts.prefix, request.method, request.raw_path,
                request.raw_headers,
            )  # fmt: skip
            self._screen.check(prepared.head, request.raw_headers)
        except Denied as denied:
            problem = Deny(denied.reason, denied.detail)
        asked, found = read_access_request(
            original.method, original.target, prepared, original.host
        )
        asked.switches_to = _switches_to(prepared, request)
        if self._begin_trace is not None:
            scheme = "https" if request.protocol.ssl_context else "http"
            asked.trace = self._begin_trace(prepared, peer, scheme)
        return _Question(
            asked,
            found if problem is None else problem,
        )

    async def _decide(self, question: _Question) -> Decision:
        asked = question.asked
        if question.problem is not None:
            self._parts.observer.decided(asked, question.problem, 0.0)
            return question.problem
        decision = self._parts.authorizer.authorize_now(asked)
        if decision is None:
            decision = await self._parts.authorizer.authorize(asked)
        return decision

    def _answer(self, decision: Decision, asked: AccessRequest) -> web.Response:
        match decision:
            case Deny():
                refusal = refusal_of(decision, realm=self._parts.realm, request_id=asked.request_id)
                told = [(name.decode(), value.decode()) for name, value in refusal.fields]
                name = self._parts.head_rules.identity.names.get("request_id")
                if name is not None:
                    # For proxies that cannot pass the body on, where it is too.
                    told.append((name, asked.request_id))
                return web.Response(
                    status=refusal.status, headers=[_SERVER, *told], body=refusal.body
                )
            case Grant():
                return web.Response(headers=self._told_of(decision, asked))

    def _told_of(self, grant: Grant, asked: AccessRequest) -> list[tuple[str, str]]:
        rules = self._parts.head_rules
        # Every one, every time: one that is absent leaves the client's own in place
        # (CVE-2026-30851). And no proxy is to answer the next question by itself.
        told = [_SERVER, _NOT_KEPT, *rules.identity.values(grant.principal, asked.request_id)]
        removed = []
        if not rules.forward_authorization:
            told.append(("Authorization", ""))
            removed.append("authorization")
        elif rules.shown.takes_proofs:
            # For bearers too: a proxy that copies it would copy its absence.
            told.append(("Authorization", _credential(rules.shown, grant, asked)))
        if rules.shown.takes_proofs and not rules.shown.forwards_proofs:
            told.append(("DPoP", ""))
            removed.append(PROOF)
        if removed and self._parts.dialect is Dialect.ENVOY:
            told.append(("x-envoy-auth-headers-to-remove", ",".join(removed)))
        return told


def _told_names(parts: Parts) -> tuple[str, ...]:
    header = parts.head_rules.shown.header
    return (*names_of(parts.dialect), *(() if header is None else (header.name,)))


def _credential(shown: ShownRules, grant: Grant, asked: AccessRequest) -> str:
    if len(asked.authorization) != 1 or not asked.authorization[0].isascii():
        return ""
    value = asked.authorization[0]
    return value if grant.principal is None else shown.credential(value)


def _switches_to(prepared: PreparedHead, request: web.BaseRequest) -> tuple[str, ...]:
    """Return what other protocols the client asks for.

    Most proxies keep ``Upgrade`` to themselves when they ask, and all pass on the key, without
    which there is no handshake (RFC 6455, 4.1).
    """
    told = tuple(each.decode("latin-1") for each in prepared.head.upgrade)
    if any(name.lower() == b"sec-websocket-key" for name, _ in request.raw_headers):
        return (*told, "websocket")
    return told


def _unread(peer: str) -> AccessRequest:
    return AccessRequest("", "", "", "", (), peer, make_request_id())


def _peer_of(request: web.BaseRequest) -> str:
    peer = request.protocol.peername
    return peer[0] if isinstance(peer, tuple) else ""
