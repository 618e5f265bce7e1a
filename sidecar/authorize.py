"""THE decision: may this subject make this request now?

One synchronous walk through the rules. When something it needs is not at hand (keys not loaded,
account not yet in the view) it raises ``_Wanted``; ``authorize`` waits for just that, bounded in
time and in tries, and walks again. So the hot path never awaits, and there is one order of checks
for all fronts, for ``explain`` and for the tests.

Steps raise; one place catches and fails closed.
"""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass

from sidecar.core.access import check_requirement, check_switch, judge_standing, principal_of
from sidecar.core.bearer import BearerToken, read_bearer
from sidecar.core.claims import Claims, check_claims, read_claims
from sidecar.core.decision import Decision, Denied, DenyReason, Grant
from sidecar.core.evidence import Evidence
from sidecar.core.found_routes import FoundRoutes
from sidecar.core.issuer import Issuer
from sidecar.core.request import (
    AccessRequest,
    Ambiguity,
    names_access_token,
)
from sidecar.core.routes import Routes
from sidecar.core.subject import Standing, SubjectKey
from sidecar.core.token import (
    UnverifiedToken,
    VerifiedToken,
    check_header,
    read_token,
    verify_signature,
)
from sidecar.core.token_memory import TokenMemory
from sidecar.core.verified_tokens import VerifiedTokens
from sidecar.ports import AccountView, Clock, KeySource, Observer, StatusUnavailable

log = logging.getLogger(__name__)

# A decision may want keys, then keys anew for an unknown kid, then the account, and the account
# once more when it changed while the answer was on its way. More than that is a storm: deny.
_MAX_TRIES = 8


@dataclass(frozen=True, slots=True)
class Rules:
    """What the decision is made by. ``budget_seconds`` bounds the waiting for one decision.

    ``strict`` reads the account store for each decision instead of believing the view.
    """

    routes: Routes
    issuers: Mapping[str, Issuer]
    tolerated: frozenset[Ambiguity] = frozenset()
    max_token_bytes: int = 8192
    budget_seconds: float = 5.0
    strict: bool = False


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
    ) -> None:
        self._rules = rules
        self._keys = keys
        self._accounts = accounts
        self._clock = clock
        self._remembered = remembered
        self._observer = observer
        self._routes = FoundRoutes(rules.routes, rules.tolerated)

    def authorize_now(self, request: AccessRequest) -> Decision | None:
        """Answer at once, or None when something must be waited for: then use ``authorize``.

        Raises nothing.
        """
        began = self._clock.steady()
        decision = self._settle(request, _Asked(), Evidence())
        if isinstance(decision, _Wanted):
            return None
        self._observer.decided(request, decision, self._clock.steady() - began)
        return decision

    async def authorize(self, request: AccessRequest) -> Decision:
        """Answer one access request. Raises nothing but ``CancelledError``."""
        began = self._clock.steady()
        decision = await self._decide(request, Evidence())
        self._observer.decided(request, decision, self._clock.steady() - began)
        return decision

    async def explain(self, request: AccessRequest) -> tuple[Decision, Evidence]:
        """Answer like ``authorize``, unobserved, and show what was established on the way."""
        evidence = Evidence()
        return await self._decide(request, evidence), evidence

    async def _decide(self, request: AccessRequest, evidence: Evidence) -> Decision:
        asked = _Asked()
        decision: Decision | _Wanted = _Wanted(DenyReason.INTERNAL_ERROR, "never walked")
        try:
            async with asyncio.timeout(self._rules.budget_seconds):
                for _ in range(_MAX_TRIES):
                    decision = self._settle(request, asked, evidence)
                    if not isinstance(decision, _Wanted):
                        return decision
                    await self._fetch(decision, asked)
        except StatusUnavailable as unavailable:
            return evidence.deny(DenyReason.STATUS_UNAVAILABLE, str(unavailable))
        except TimeoutError:
            pass
        except Exception:
            log.exception("the decision failed; the request is denied")
            return evidence.deny(DenyReason.INTERNAL_ERROR, "see the log")
        assert isinstance(decision, _Wanted)  # noqa: S101
        return evidence.deny(decision.reason, f"waited in vain: {decision.detail}")

    async def _fetch(self, wanted: "_Wanted", asked: "_Asked") -> None:
        # A standing counts in the walk that follows its read: it would age through any other wait.
        asked.standing = None
        if wanted.account is not None:
            asked.standing = await self._accounts.read(*wanted.account)
        if wanted.keys is not None:
            asked.keys = True
            await self._keys.refresh(*wanted.keys)

    def _settle(
        self, request: AccessRequest, asked: "_Asked", evidence: Evidence
    ) -> "Decision | _Wanted":
        try:
            return self._walk(request, asked, evidence)
        except Denied as denied:
            return evidence.deny(denied.reason, denied.detail)
        except _Wanted as wanted:
            return wanted
        except Exception:
            log.exception("the decision failed; the request is denied")
            return evidence.deny(DenyReason.INTERNAL_ERROR, "see the log")

    def _walk(self, request: AccessRequest, asked: "_Asked", evidence: Evidence) -> Grant:
        route = self._routes.find(request)
        evidence.route = route
        if request.switches_to:
            check_switch(route, request.switches_to)
        if not route.requirement.bearer:
            return Grant(route)
        if request.own_credential and route.requirement.own_credential:
            return Grant(route)
        if request.query and names_access_token(request.query):
            # RFC 6750, 2: a client uses one way to send a token; and a query gets logged.
            raise Denied(DenyReason.MALFORMED_CREDENTIALS, "access_token in the query")
        memory = request.memory or TokenMemory()
        issuer, claims = self._verified(request, memory, asked, evidence)
        evidence.issuer, evidence.claims = issuer, claims
        check_claims(claims, issuer, self._clock.now())
        standing = self._standing(memory.key or claims.key(issuer), claims.token_id, asked)
        evidence.standing = standing
        principal = memory.principal
        if principal is None or memory.account is not standing.account:
            principal = principal_of(claims, issuer, standing)
            memory.account, memory.principal = standing.account, principal
        judge_standing(
            standing,
            token_issued_at=claims.issued_at,
            unregistered=route.requirement.unregistered,
        )
        check_requirement(route.requirement, principal)
        return Grant(route, principal)

    def _verified(
        self, request: AccessRequest, memory: TokenMemory, asked: "_Asked", evidence: Evidence
    ) -> tuple[Issuer, Claims]:
        bearer = memory.bearer
        if bearer is None:
            bearer = memory.bearer = read_bearer(request.authorization, self._rules.max_token_bytes)
        remembered = memory.remembered or self._remembered.recall(bearer)
        if remembered is not None:
            issuer, claims, generation = remembered
            keys = self._keys.keys(issuer.name)
            # Also by the same rules: what an issuer was trusted with before is no argument now.
            if (
                keys is not None
                and keys.generation == generation
                and self._rules.issuers.get(issuer.name) is issuer
            ):
                if memory.remembered is None:
                    memory.remember(remembered)
                return issuer, claims
            memory.remembered = None
        token = memory.token
        if token is None:
            token = memory.token = read_token(bearer)
        evidence.token = token
        found = self._rules.issuers.get(token.issuer)
        if found is None:
            raise Denied(DenyReason.UNKNOWN_ISSUER, "iss is not a configured issuer")
        evidence.issuer = found
        check_header(token, found)
        verified = self._verify(bearer, token, found, asked)
        claims = read_claims(verified, found.groups)
        self._remembered.remember(bearer, found, claims, verified.generation)
        memory.remember((found, claims, verified.generation))
        return found, claims

    def _verify(
        self, bearer: BearerToken, token: UnverifiedToken, issuer: Issuer, asked: "_Asked"
    ) -> VerifiedToken:
        keys = self._keys.keys(issuer.name)
        if keys is None:
            if asked.keys:
                raise Denied(DenyReason.KEYS_UNAVAILABLE, "the issuer's keys are not loaded")
            raise _Wanted(DenyReason.KEYS_UNAVAILABLE, "keys", keys=(issuer.name, None))
        refusal = self._remembered.refusal(bearer, keys.generation)
        if refusal is None:
            try:
                return verify_signature(token, keys, issuer)
            except Denied as denied:
                # A bad signature is dear (RSA); the same keys need not say no to it twice.
                refusal = denied.reason, denied.detail
                self._remembered.refuse(bearer, keys.generation, *refusal)
        raise self._second_thought(*refusal, token, issuer, asked)

    def _second_thought(
        self,
        reason: DenyReason,
        detail: str,
        token: UnverifiedToken,
        issuer: Issuer,
        asked: "_Asked",
    ) -> "Denied | _Wanted":
        """Return what to raise where the provider may have rotated its keys in the meantime."""
        if not asked.keys and not self._keys.is_resting(issuer.name, token.kid):
            # Also for a bad signature: a provider may put new key material under an old kid.
            # While it has not answered, the absence of a key proves nothing.
            if reason is DenyReason.UNKNOWN_KEY:
                reason = DenyReason.KEYS_UNAVAILABLE
            return _Wanted(reason, detail, keys=(issuer.name, token.kid))
        if reason is DenyReason.UNKNOWN_KEY and self._keys.is_unsettled(issuer.name, token.kid):
            detail = "unknown kid, and the provider was not asked"
            return Denied(DenyReason.KEYS_UNAVAILABLE, detail)
        return Denied(reason, detail)

    def _standing(self, subject: SubjectKey, token_id: str | None, asked: "_Asked") -> Standing:
        if not self._accounts.is_live():
            raise Denied(DenyReason.STATUS_UNAVAILABLE, "the account view is not live")
        standing = (
            asked.standing if self._rules.strict else self._accounts.look_up(subject, token_id)
        )
        if standing is None:
            raise _Wanted(DenyReason.STATUS_UNAVAILABLE, "account", account=(subject, token_id))
        return standing


class _Wanted(Exception):
    """Something is not at hand; ``reason`` is the verdict if it stays so."""

    def __init__(
        self,
        reason: DenyReason,
        detail: str,
        *,
        keys: tuple[str, str | None] | None = None,
        account: tuple[SubjectKey, str | None] | None = None,
    ) -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail
        self.keys = keys
        self.account = account


@dataclass(slots=True)
class _Asked:
    """What one decision has waited for, and the verdicts by key generation.

    Keys are asked for once only. ``standing`` is what the latest wait was for, or None.
    """

    keys: bool = False
    standing: Standing | None = None
