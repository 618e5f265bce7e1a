"""THE decision: may this subject make this request now?

One synchronous walk through the rules. When something it needs is not at hand (keys not loaded,
account not yet in the view) it raises ``Wanted``; ``authorize`` waits for just that, bounded in
time and in tries, and walks again. So the hot path never awaits, and there is one order of checks
for all fronts, for ``explain`` and for the tests. At its end, and nowhere else, a denial becomes
a grant where its route is in shadow. Steps raise; one place catches and fails closed.
"""

import asyncio
import logging
from collections.abc import Callable
from math import inf

from sidecar.admission import Limiter
from sidecar.binding import BindingJudge
from sidecar.core.access import (
    check_open,
    check_requirement,
    check_switch,
    judge_standing,
    principal_of,
)
from sidecar.core.claims import Claims, check_claims
from sidecar.core.decision import Decision, Denied, Deny, DenyReason, Grant
from sidecar.core.evidence import Evidence
from sidecar.core.found_routes import FoundRoutes
from sidecar.core.issuer import Issuer
from sidecar.core.principal import Principal
from sidecar.core.request import AccessRequest, names_access_token
from sidecar.core.shadow import judge_in_shadow
from sidecar.core.subject import Standing, SubjectKey
from sidecar.core.token_memory import TokenMemory
from sidecar.core.verified_tokens import VerifiedTokens
from sidecar.decision_services import DecisionServices
from sidecar.ports import AccountView, Clock, KeySource, Observer, Unavailable
from sidecar.rules import Rules
from sidecar.turns import TOO_MANY, Turn
from sidecar.verification import TokenVerifier
from sidecar.wanted import Asked, TurnWanted, Wanted

log = logging.getLogger(__name__)

# A decision may want keys, then keys anew for an unknown kid, then the account, and the account
# once more when it changed while the answer was on its way. More than that is a storm: deny.
_MAX_TRIES = 8

# Where nothing is enforced, nothing is to be slow either.
_SHADOW_SECONDS = 1.0

# One for all that are answered at once: a walk does not write to it before it has waited.
_AT_ONCE = Asked(at_once=True)
_IN_TURN = Asked(at_once=True, has_turn=True)


class Authorizer:
    """Makes decisions. Holds no state of its own but the memory of verified signatures."""

    def __init__(
        self,
        rules: Rules,
        keys: KeySource,
        accounts: AccountView,
        clock: Clock,
        remembered: VerifiedTokens,
        observer: Observer,
        services: DecisionServices | None = None,
    ) -> None:
        self._rules = rules
        self._limiter = rules.admission.limiter
        self._shedder = rules.admission.shedder
        self._turns = rules.admission.turns
        self._keys = keys
        self._accounts = accounts
        self._clock = clock
        self._services = services or DecisionServices()
        self._verifier = TokenVerifier(
            rules.issuers, rules.max_token_bytes, keys, remembered, self._services.status_lists,
            self._turns,
        )  # fmt: skip
        self._binding = BindingJudge(clock, self._services.proofs)
        self._observer = observer
        self._routes = FoundRoutes(rules.routes, rules.tolerated)

    def authorize_now(self, request: AccessRequest) -> Decision | None:
        """Answer at once, or None where it has to wait: then use ``authorize``. Raises nothing."""
        decision = self.decide_now(request)
        return None if isinstance(decision, Wanted) else decision

    def decide_now(self, request: AccessRequest) -> Decision | Wanted:
        """Answer at once, or say what must be waited for.

        Then use ``authorize``; if all that is wanted is its turn, ``await_turn`` is cheaper.
        Raises nothing.
        """
        if self._shedder is not None and (shed := self._shedder.refusal()) is not None:
            self._observer.decided(request, shed, 0.0)
            return shed
        now = self._clock.steady()
        return self._decide_at_once(request, _AT_ONCE, now, now)

    def await_turn(self, request: AccessRequest, come: Callable[[], None]) -> Turn | Deny:
        """Have ``come`` called when it is the request's turn, or refuse it where too many wait."""
        turn = None if self._turns is None else self._turns.join(request, come)
        if turn is not None:
            return turn
        deny = Deny(DenyReason.OVERLOADED, TOO_MANY)
        self._observer.decided(request, deny, 0.0)
        return deny

    def leave(self, turn: Turn) -> None:
        """Give up a turn: nobody is left to be answered."""
        assert self._turns is not None  # noqa: S101 - it is one of theirs
        self._turns.leave(turn)

    def decide_in_turn(self, turn: Turn) -> Decision | Wanted:
        """As ``decide_now``, of the request whose turn has come."""
        request = turn.request
        if turn.problem:
            deny = Deny(DenyReason.OVERLOADED, turn.problem)
            self._observer.decided(request, deny, self._clock.steady() - turn.since)
            return deny
        now = self._clock.steady()
        if request.record is not None:
            request.record.waited("turn", now - turn.since)
        return self._decide_at_once(request, _IN_TURN, turn.since, now)

    def _decide_at_once(
        self, request: AccessRequest, asked: Asked, began: float, now: float
    ) -> Decision | Wanted:
        decision = self._settle(request, asked, Evidence())
        if isinstance(decision, Wanted):
            return decision
        return self._conclude(request, decision, began, now)

    async def authorize(self, request: AccessRequest, patience: float = inf) -> Decision:
        """Answer one access request. Raises nothing but ``CancelledError``.

        On a route in shadow whoever asks has the answer within ``patience`` (seconds).
        """
        began = self._clock.steady()
        decision = await self._decide(request, Evidence(), min(_SHADOW_SECONDS, patience))
        return self._conclude(request, decision, began, self._clock.steady())

    async def explain(self, request: AccessRequest) -> tuple[Decision, Evidence]:
        """Answer like ``authorize``, unobserved, and show what was established on the way."""
        evidence = Evidence()
        return await self._decide(request, evidence), evidence

    def _conclude(
        self, request: AccessRequest, decision: Decision, began: float, now: float
    ) -> Decision:
        if self._limiter is not None and type(decision) is Grant:
            decision = self._limited(self._limiter, decision, request, now)
        if isinstance(decision, Deny):
            decision = judge_in_shadow(decision, request)
        self._observer.decided(request, decision, self._clock.steady() - began)
        return decision

    def _limited(
        self, limiter: Limiter, grant: Grant, request: AccessRequest, now: float
    ) -> Decision:
        # Here and not in the walk: that may be walked again, and `explain` spends nobody's budget.
        try:
            return limiter.judge(grant, request, now)
        except Exception:
            log.exception("the limits failed; the request is denied")
            return Deny(DenyReason.INTERNAL_ERROR, "see the log", grant.route)

    async def _decide(
        self, request: AccessRequest, evidence: Evidence, shadow_seconds: float = inf
    ) -> Decision:
        asked = Asked()
        decision = self._settle(request, asked, evidence)
        if not isinstance(decision, Wanted):
            return decision
        wanted, seconds = decision, self._rules.budget_seconds
        if evidence.route is not None and evidence.route.shadow:
            seconds = min(seconds, shadow_seconds)
        try:
            async with asyncio.timeout(seconds):
                for _ in range(_MAX_TRIES):
                    await self._wait_for(request, wanted, asked)
                    decision = self._settle(request, asked, evidence)
                    if not isinstance(decision, Wanted):
                        return decision
                    wanted = decision
        except Unavailable as unavailable:
            return self._deny(request, evidence, unavailable.reason, str(unavailable))
        except TimeoutError:
            pass
        except Exception:
            log.exception("the decision failed; the request is denied")
            return self._deny(request, evidence, DenyReason.INTERNAL_ERROR, "see the log")
        return self._deny(request, evidence, wanted.reason, f"waited in vain: {wanted.detail}")

    async def _wait_for(self, request: AccessRequest, wanted: Wanted, asked: Asked) -> None:
        began = self._clock.steady()
        try:
            await self._fetch(request, wanted, asked)
        finally:
            if request.record is not None:
                request.record.waited(wanted.what, self._clock.steady() - began)

    async def _fetch(self, request: AccessRequest, wanted: Wanted, asked: Asked) -> None:
        # A standing counts in the walk that follows its read: it would age through any other wait.
        asked.standing = None
        asked.has_turn = False
        if isinstance(wanted, TurnWanted) and self._turns is not None:
            await self._turns.wait(request)
            asked.has_turn = True
        if wanted.account is not None:
            asked.standing = await self._accounts.read(*wanted.account)
        if wanted.keys is not None:
            asked.keys = True
            await self._keys.refresh(*wanted.keys)
        if wanted.mark is not None:
            asked.is_unused = await self._binding.use(wanted.mark)
        if wanted.introspection is not None:
            asked.answer = await self._services.introspector.introspect(*wanted.introspection)
            asked.is_answered = True
        if wanted.status_list is not None:
            await self._services.status_lists.read(*wanted.status_list)

    def _settle(
        self, request: AccessRequest, asked: Asked, evidence: Evidence
    ) -> Decision | Wanted:
        try:
            return self._walk(request, asked, evidence)
        except Denied as denied:
            return self._deny(request, evidence, denied.reason, denied.detail)
        except Wanted as wanted:
            return wanted
        except Exception:
            log.exception("the decision failed; the request is denied")
            return self._deny(request, evidence, DenyReason.INTERNAL_ERROR, "see the log")

    def _deny(
        self, request: AccessRequest, evidence: Evidence, reason: DenyReason, detail: str
    ) -> Deny:
        return self._binding.with_offer(evidence.deny(reason, detail), request)

    def _walk(self, request: AccessRequest, asked: Asked, evidence: Evidence) -> Grant:
        route = self._routes.find(request)
        evidence.route = route
        if request.switches_to:
            check_switch(route, request.switches_to)
        if not route.requirement.bearer:
            check_open(route)
            return Grant(route)
        if request.own_credential and route.requirement.own_credential:
            return Grant(route)
        if request.query and names_access_token(request.query):
            # RFC 6750, 2: a client uses one way to send a token; and a query gets logged.
            raise Denied(DenyReason.MALFORMED_CREDENTIALS, "access_token in the query")
        memory = request.memory or asked.memory or TokenMemory()
        if not asked.at_once:
            asked.memory = memory
        issuer, claims = self._verifier.verified(request, memory, asked, evidence)
        evidence.issuer, evidence.claims = issuer, claims
        check_claims(claims, issuer, self._clock.now())
        if memory.is_on_trial:
            self._verifier.approve(memory)
        demand = memory.demand
        if demand is not None:
            self._binding.check(demand, request, memory, asked)
        self._verifier.check_with_issuer(memory, claims, issuer, asked)
        standing = self._standing(memory.key or claims.key(issuer), claims.token_id, asked)
        evidence.standing = standing
        principal = memory.principal
        if principal is None or memory.account is not standing.account:
            principal = self._renewed(memory, claims, issuer, standing)
        judge_standing(
            standing,
            token_issued_at=claims.issued_at,
            unregistered=route.requirement.unregistered,
        )
        check_requirement(route.requirement, principal)
        if demand is not None:
            self._binding.check_unused(asked)
        return Grant(route, principal)

    def _renewed(
        self, memory: TokenMemory, claims: Claims, issuer: Issuer, standing: Standing
    ) -> Principal:
        binding = "" if memory.demand is None else memory.demand.binding
        memory.account = standing.account
        memory.principal = principal_of(claims, issuer, standing, binding)
        return memory.principal

    def _standing(self, subject: SubjectKey, token_id: str | None, asked: Asked) -> Standing:
        if not self._accounts.is_live():
            raise Denied(DenyReason.STATUS_UNAVAILABLE, "the account view is not live")
        standing = (
            asked.standing if self._rules.strict else self._accounts.look_up(subject, token_id)
        )
        if standing is None:
            raise Wanted(DenyReason.STATUS_UNAVAILABLE, "account", account=(subject, token_id))
        return standing
