"""The check: read what Envoy asks, ask for the decision, say it in Envoy's words.

It only translates, and whatever fails on the way is a refusal. Envoy waits for the answer with a
deadline; a decision that would come too late is refused a little before it, so that the client
gets our 503 and not Envoy's bare error.
"""

import asyncio
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from math import inf
from typing import Protocol

from sidecar.authorize import Authorizer
from sidecar.core.decision import Decision, Denied, Deny, DenyReason, Grant
from sidecar.core.protection import SIDECAR, Realm
from sidecar.core.request import AccessRequest
from sidecar.core.trace import TRACE_FIELDS, Door, Trace, Tracer
from sidecar.fronts.asking import make_request_id
from sidecar.fronts.ext_authz.answer import denied, granted
from sidecar.fronts.ext_authz.check import Check, read_check
from sidecar.fronts.ext_authz.fields import FieldRules
from sidecar.fronts.grpc_listener import read_peer
from sidecar.ports import Clock, Observer
from sidecar.wanted import TurnWanted, Wanted

log = logging.getLogger(__name__)

Metadata = Iterable[tuple[str, str | bytes]]

_ENVOY_GONE = 499
_PASSED = 200
# Of the time that is left: the rest is for the answer's way back.
_SHARE_OF_DEADLINE = 0.9


class Caller(Protocol):
    """What a check has to know of the call by which it came."""

    def time_remaining(self) -> float | None:
        """Return the seconds until the caller gives up; None where it waits for ever."""

    def invocation_metadata(self) -> Metadata | None:
        """Return what the caller says beside the check."""

    def peer(self) -> str:
        """Return the library's name of the caller's address."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What the front works with.

    ``realm`` is the one that challenges name (RFC 9110, 11.5). At most ``max_concurrent`` checks
    wait at one time, for keys or accounts that are not at hand; more are refused. ``tracer`` is
    there where checks are traced.
    """

    authorizer: Authorizer
    field_rules: FieldRules
    clock: Clock
    observer: Observer
    realm: Realm = SIDECAR
    max_concurrent: int = 1000
    tracer: Tracer | None = None


class Checker:
    """Answers each check."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._waiting = 0

    async def check(self, message: bytes, caller: Caller) -> bytes:
        """Answer one serialized ``CheckRequest``. Raises nothing but ``CancelledError``."""
        began = self._parts.clock.steady()
        request_id = make_request_id()
        check = Check(AccessRequest("", "", "", "", (), "", request_id))
        status, rules = _ENVOY_GONE, self._parts.field_rules
        try:
            check = read_check(message, rules.trusted, request_id, rules.shown)
            if self._parts.tracer is not None:
                check.asked.trace = self._trace(self._parts.tracer, check, caller)
            response, status = self._say(check, await self._decide(check, caller))
        except Exception:
            log.exception("the check failed; the request is denied")
            response, status = self._refuse(check, Deny(DenyReason.INTERNAL_ERROR, "see the log"))
        finally:
            seconds = self._parts.clock.steady() - began
            self._parts.observer.answered(check.asked, status, seconds)
        return response

    def _trace(self, tracer: Tracer, check: Check, caller: Caller) -> Trace:
        """Return the trace of a check: Envoy's own where it traces, else that of its client."""
        peer = read_peer(caller.peer())
        own = [
            (name.encode(), value.encode())
            for name, value in caller.invocation_metadata() or ()
            if isinstance(value, str) and name.encode() in TRACE_FIELDS
        ]
        if own:
            # Whoever may ask here at all is trusted: its word is the decision's ground as well.
            return tracer.begin(Door.EXT_AUTHZ, peer, "http", own, trusted=True)
        told = [
            (name.encode(), value.encode("latin-1", "replace"))
            for name, value in check.fields
            if name.encode() in TRACE_FIELDS
        ]
        trusted = self._parts.field_rules.trusted.trusts(check.peer)
        return tracer.begin(Door.EXT_AUTHZ, peer, "http", told, trusted=trusted)

    async def _decide(self, check: Check, caller: Caller) -> Decision:
        if check.problem is not None:
            self._parts.observer.decided(check.asked, check.problem, 0.0)
            return check.problem
        found = self._parts.authorizer.decide_now(check.asked)
        return await self._wait(check, caller, found) if isinstance(found, Wanted) else found

    async def _wait(self, check: Check, caller: Caller, wanted: Wanted) -> Decision:
        remaining = caller.time_remaining()
        left = None if remaining is None else remaining * _SHARE_OF_DEADLINE
        try:
            async with asyncio.timeout(left) as deadline:
                found: Decision | Wanted = wanted
                if isinstance(wanted, TurnWanted):
                    # Not one of those who wait for keys or accounts: turns have room of their own,
                    # of which no peer can take that of others.
                    found = await self._in_turn(check.asked)
                if isinstance(found, Wanted):
                    found = await self._fetch(check, deadline)
                return found
        except TimeoutError:
            return self._unavailable(check, "the check's deadline is over")
        except asyncio.CancelledError:
            self._unavailable(check, "the check was given up")
            raise

    async def _in_turn(self, asked: AccessRequest) -> Decision | Wanted:
        authorizer, come = self._parts.authorizer, asyncio.Event()
        turn = authorizer.await_turn(asked, come.set)
        if isinstance(turn, Deny):
            return turn
        try:
            await come.wait()
        finally:
            authorizer.leave(turn)
        return authorizer.decide_in_turn(turn)

    async def _fetch(self, check: Check, deadline: asyncio.Timeout) -> Decision:
        if self._waiting >= self._parts.max_concurrent:
            return self._unavailable(check, "too many checks wait already")
        ends, patience = deadline.when(), inf
        if ends is not None:
            patience = (ends - asyncio.get_running_loop().time()) * _SHARE_OF_DEADLINE
        self._waiting += 1
        try:
            return await self._parts.authorizer.authorize(check.asked, patience)
        finally:
            self._waiting -= 1

    def _unavailable(self, check: Check, detail: str) -> Deny:
        deny = Deny(DenyReason.STATUS_UNAVAILABLE, detail)
        self._parts.observer.decided(check.asked, deny, 0.0)
        return deny

    def _say(self, check: Check, decision: Decision) -> tuple[bytes, int]:
        match decision:
            case Deny():
                return self._answer(check, decision)
            case Grant():
                return self._pass(check, decision)

    def _pass(self, check: Check, grant: Grant) -> tuple[bytes, int]:
        rules = self._parts.field_rules
        try:
            to_set = rules.to_set(check, grant.principal, check.asked.request_id)
        except Denied as refused:
            return self._refuse(check, Deny(refused.reason, refused.detail, grant.route))
        return granted(grant.principal, to_set, rules.to_remove(check)), _PASSED

    def _refuse(self, check: Check, deny: Deny) -> tuple[bytes, int]:
        """Refuse what was not decided, or was granted before it turned out to be unfit."""
        self._parts.observer.decided(check.asked, deny, 0.0)
        return self._answer(check, deny)

    def _answer(self, check: Check, deny: Deny) -> tuple[bytes, int]:
        return denied(deny, realm=self._parts.realm, request_id=check.asked.request_id)
