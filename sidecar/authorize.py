"""THE decision: may this subject make this request now?

One synchronous walk through the rules. When something it needs is not at hand (keys not loaded,
account not yet in the view) it raises ``Wanted``; ``authorize`` waits for just that, bounded in
time and in tries, and walks again. So the hot path never awaits, and there is one order of checks
for all fronts, for ``explain`` and for the tests. At its end, and nowhere else, a denial becomes
a grant where its route is in shadow.

Steps raise; one place catches and fails closed.
"""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf

from sidecar.admission import Limiter
from sidecar.binding import BindingJudge
from sidecar.core.access import check_requirement, check_switch, judge_standing, principal_of
from sidecar.core.claims import check_claims
from sidecar.core.decision import Decision, Denied, Deny, DenyReason, Grant
from sidecar.core.evidence import Evidence
from sidecar.core.found_routes import FoundRoutes
from sidecar.core.issuer import Issuer
from sidecar.core.request import (
    AccessRequest,
    Ambiguity,
    names_access_token,
)
from sidecar.core.routes import Routes
from sidecar.core.shadow import judge_in_shadow
from sidecar.core.subject import Standing, SubjectKey
from sidecar.core.token_memory import TokenMemory
from sidecar.core.verified_tokens import VerifiedTokens
from sidecar.decision_services import DecisionServices
from sidecar.ports import AccountView, Clock, KeySource, Observer, Unavailable
from sidecar.shedding import Shedder
from sidecar.verification import Asked, TokenVerifier, Wanted

log = logging.getLogger(__name__)

# A decision may want keys, then keys anew for an unknown kid, then the account, and the account
# once more when it changed while the answer was on its way. More than that is a storm: deny.
_MAX_TRIES = 8

# Where nothing is enforced, nothing is to be slow either.
_SHADOW_SECONDS = 1.0

# One for all that are answered at once: a walk does not write to it before it has waited.
_AT_ONCE = Asked(at_once=True)


@dataclass(frozen=True, slots=True)
class Admission:
    """The ``shedder`` refuses before anything is done, the ``limiter`` some of what is granted."""

    shedder: Shedder | None = None
    limiter: Limiter | None = None


@dataclass(frozen=True, slots=True)
class Rules:
    """What the decision is made by. ``budget_seconds`` bounds the waiting for one decision.

    ``strict`` reads the account store for each decision instead of believing the view. A request
    has to get past ``admission`` as well.
    """

    routes: Routes
    issuers: Mapping[str, Issuer]
    tolerated: frozenset[Ambiguity] = frozenset()
    max_token_bytes: int = 8192
    budget_seconds: float = 5.0
    strict: bool = False
    admission: Admission = field(default_factory=Admission)


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
        self._keys = keys
        self._accounts = accounts
        self._clock = clock
        self._services = services or DecisionServices()
        self._verifier = TokenVerifier(
            rules.issuers, rules.max_token_bytes, keys, remembered, self._services.status_lists
        )
        self._binding = BindingJudge(clock, self._services.proofs)
        self._observer = observer
        self._routes = FoundRoutes(rules.routes, rules.tolerated)

    def authorize_now(self, request: AccessRequest) -> Decision | None:
        """Answer at once, or None when something must be waited for: then use ``authorize``.

        Raises nothing.
        """
        if self._shedder is not None and (shed := self._shedder.refusal()) is not None:
            self._observer.decided(request, shed, 0.0)
            return shed
        began = self._clock.steady()
        decision = self._settle(request, _AT_ONCE, Evidence())
        if isinstance(decision, Wanted):
            return None
        if self._limiter is not None and type(decision) is Grant:
            decision = self._limited(self._limiter, decision, request, began)
        if isinstance(decision, Deny):
            decision = judge_in_shadow(decision, request)
        self._observer.decided(request, decision, self._clock.steady() - began)
        return decision

    async def authorize(self, request: AccessRequest, patience: float = inf) -> Decision:
        """Answer one access request. Raises nothing but ``CancelledError``.

        ``patience`` are the seconds for which whoever asks can wait: on a route in shadow it has
        its answer by then.
        """
        began = self._clock.steady()
        decision = await self._decide(request, Evidence(), min(_SHADOW_SECONDS, patience))
        if self._limiter is not None and type(decision) is Grant:
            decision = self._limited(self._limiter, decision, request, self._clock.steady())
        if isinstance(decision, Deny):
            decision = judge_in_shadow(decision, request)
        self._observer.decided(request, decision, self._clock.steady() - began)
        return decision

    async def explain(self, request: AccessRequest) -> tuple[Decision, Evidence]:
        """Answer like ``authorize``, unobserved, and show what was established on the way."""
        evidence = Evidence()
        return await self._decide(request, evidence), evidence

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
                    await self._fetch(wanted, asked)
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

    async def _fetch(self, wanted: Wanted, asked: Asked) -> None:
        # A standing counts in the walk that follows its read: it would age through any other wait.
        asked.standing = None
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
            if route.requirement.nobody:
                raise Denied(DenyReason.NO_ROUTE, "no route for this method and path")
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
        demand = memory.demand
        if demand is not None:
            self._binding.check(demand, request, memory, asked)
        self._verifier.check_with_issuer(memory, claims, issuer, asked)
        standing = self._standing(memory.key or claims.key(issuer), claims.token_id, asked)
        evidence.standing = standing
        principal = memory.principal
        if principal is None or memory.account is not standing.account:
            binding = "" if demand is None else demand.binding
            principal = principal_of(claims, issuer, standing, binding)
            memory.account, memory.principal = standing.account, principal
        judge_standing(
            standing,
            token_issued_at=claims.issued_at,
            unregistered=route.requirement.unregistered,
        )
        check_requirement(route.requirement, principal)
        if demand is not None:
            self._binding.check_unused(asked)
        return Grant(route, principal)

    def _standing(self, subject: SubjectKey, token_id: str | None, asked: Asked) -> Standing:
        if not self._accounts.is_live():
            raise Denied(DenyReason.STATUS_UNAVAILABLE, "the account view is not live")
        standing = (
            asked.standing if self._rules.strict else self._accounts.look_up(subject, token_id)
        )
        if standing is None:
            raise Wanted(DenyReason.STATUS_UNAVAILABLE, "account", account=(subject, token_id))
        return standing
