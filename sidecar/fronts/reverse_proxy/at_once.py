"""Answering at once what can be answered at once: no await up to the request's last octet.

The hot path. It asks for the decision, and either refuses or begins to relay, right where the
request was read.
"""

from typing import TYPE_CHECKING, Protocol

from aiohttp.streams import EMPTY_PAYLOAD, StreamReader

from sidecar.core.decision import Decision, Denied, Deny, DenyReason, Grant
from sidecar.core.request import AccessRequest
from sidecar.core.trace import Door
from sidecar.fronts.asking import make_request_id, read_access_request
from sidecar.fronts.prepared_head import PreparedHead, prepare_head
from sidecar.fronts.refusal import refusal_of
from sidecar.fronts.request_head import RawHeaders
from sidecar.fronts.reverse_proxy.framing import Framing
from sidecar.fronts.reverse_proxy.relay import Relay
from sidecar.fronts.tracing import trace_beginner
from sidecar.wanted import TurnWanted, Wanted

if TYPE_CHECKING:
    from sidecar.fronts.reverse_proxy.client_connection import ClientConnection
    from sidecar.fronts.reverse_proxy.handler import Handler, Parts


class Message(Protocol):
    """What is asked of aiohttp's ``RawRequestMessage``, of which the parser in C has its own."""

    @property
    def method(self) -> str: ...
    @property
    def path(self) -> str: ...
    @property
    def version(self) -> tuple[int, int]: ...
    @property
    def raw_headers(self) -> RawHeaders: ...
    @property
    def should_close(self) -> bool: ...
    @property
    def upgrade(self) -> bool: ...
    @property
    def chunked(self) -> bool: ...


class AtOnce:
    """Takes requests from the head of a connection's queue."""

    def __init__(self, parts: "Parts", handler: "Handler") -> None:
        self._parts = parts
        self._handler = handler
        self._begin_trace = trace_beginner(parts.tracer, Door.HTTP, parts.head_rules)
        self._told_path = () if parts.metadata is None else (parts.metadata.path,)

    def take(self, client: "ClientConnection", message: Message, payload: StreamReader) -> bool:
        """Answer a request at once, or begin to relay it; return False when it has to wait.

        Nothing has happened then. If the client has a turn, the request is to be taken again when
        that has come; else ``Handler.handle`` is to answer it.
        """
        turn = client.turn
        if turn is not None:
            client.turn = None
        prepared = self._prepare(client, message, payload)
        if prepared is None:
            return False
        found: Decision | Wanted | None
        if turn is None:
            began = self._parts.clock.steady()
            asked, found = read_access_request(message.method, message.path, prepared)
            if self._begin_trace is not None:
                asked.trace = self._begin_trace(prepared, client.peer, client.scheme)
            if found is None:
                found = self._parts.authorizer.decide_now(asked)
            else:
                self._parts.observer.decided(asked, found, 0.0)
        else:
            began, asked = turn.since, turn.request
            found = self._parts.authorizer.decide_in_turn(turn)
        decision = self._wait(client, asked, found) if isinstance(found, Wanted) else found
        if decision is None:
            if client.turn is None:
                prepared.begun = asked.trace
            return False
        self._carry_out(client, message, payload, asked, decision, began)
        return True

    def _prepare(
        self, client: "ClientConnection", message: Message, payload: StreamReader
    ) -> PreparedHead | None:
        """Return the request's head, or None where the handler is to read it."""
        if message.upgrade or message.chunked or not payload.is_eof() or payload.exception():
            return None
        if self._is_the_handlers(message):
            return None
        prepared = client.prepared
        if prepared is None or not prepared.is_of(message.raw_headers, message.version):
            prepared = client.prepared = prepare_head(
                self._parts.head_rules, message.raw_headers, message.version, client.peer,
                client.certificate,
            )  # fmt: skip
        if prepared.head.upgrade or prepared.head.expect or message.method == "CONNECT":
            return None
        return prepared

    def _carry_out(
        self,
        client: "ClientConnection",
        message: Message,
        payload: StreamReader,
        asked: AccessRequest,
        decision: Decision,
        began: float,
    ) -> None:
        prepared = client.prepared
        assert prepared is not None  # noqa: S101 - the decision is about it
        stays = not (message.should_close or self._handler.is_leaving)
        framing = Framing(message.method, message.version, stays=stays)
        if type(decision) is Grant:
            relay = Relay(self._parts, client, asked, framing, began)
            # No await between the decision and the registration: see `streams`.
            self._forward(relay, decision, prepared, message, payload)
        elif isinstance(decision, Deny):
            # As where the body was not read: how long it is may be what is wrong with it.
            framing.stays = stays and not prepared.head.announces_body
            self._refuse(client, framing, decision, asked, began)

    def leave(self, client: "ClientConnection") -> None:
        """Hear that the client has gone: nothing of its requests is to be verified any more."""
        turn, client.turn = client.turn, None
        if turn is not None:
            self._parts.authorizer.leave(turn)

    def _wait(
        self, client: "ClientConnection", asked: AccessRequest, wanted: Wanted
    ) -> Deny | None:
        if not isinstance(wanted, TurnWanted):
            return None
        turn = self._parts.authorizer.await_turn(asked, client.go_on)
        if isinstance(turn, Deny):
            return turn
        client.turn = turn
        return None

    def _is_the_handlers(self, message: Message) -> bool:
        if message.path.startswith(self._told_path):
            return True
        change_of = self._handler.change_of
        return message.method != "GET" and change_of(message.method, message.path) is not None

    def give_up(self, client: "ClientConnection", message: Message) -> None:
        """Answer a request that one of our own faults ended; the connection ends with it."""
        deny = Deny(DenyReason.INTERNAL_ERROR, "see the log")
        if client.relay is not None:
            client.relay.refuse(deny)
            return
        asked = AccessRequest(message.method, "", "", "", (), client.peer, make_request_id())
        framing = Framing(message.method, message.version, stays=False)
        self._refuse(client, framing, deny, asked, self._parts.clock.steady())

    def _forward(
        self,
        relay: Relay,
        grant: Grant,
        prepared: PreparedHead,
        message: Message,
        payload: StreamReader,
    ) -> None:
        client = relay.client
        body = b"" if payload is EMPTY_PAYLOAD else payload.read_nowait(-1)
        try:
            _check_length(prepared, body)
            lines = prepared.lines(
                self._parts.head_rules, grant.principal, client.peer, client.scheme,
                relay.asked.request_id,
            )  # fmt: skip
        except Denied as denied:
            relay.framing.stays = False
            deny = Deny(denied.reason, denied.detail)
            self._refuse(client, relay.framing, deny, relay.asked, relay.began)
            return
        # The raw target, which `read_target` has judged and only split.
        line = f"{message.method} {message.path} HTTP/1.1\r\n".encode("ascii")
        if relay.asked.trace is not None:
            line += relay.asked.trace.lines()
        client.relay = relay
        relay.start(grant, b"".join((line, lines, body)))

    def _refuse(
        self,
        client: "ClientConnection",
        framing: Framing,
        deny: Deny,
        asked: AccessRequest,
        began: float,
    ) -> None:
        refusal = refusal_of(deny, realm=self._parts.realm, request_id=asked.request_id)
        client.send(framing.whole(refusal.status, refusal.fields, refusal.body))
        self._parts.observer.answered(asked, refusal.status, self._parts.clock.steady() - began)
        client.done(framing.stays)


def _check_length(prepared: PreparedHead, body: bytes) -> None:
    length = prepared.head.content_length
    if length and int(length[0]) != len(body):
        # However the parser came to see it so: upstream would take what comes next for the body.
        raise Denied(DenyReason.MALFORMED_REQUEST, "a body that is not of its length")
