"""What else a request has to get past, beside the rules: nobody may use up what all need.

A caller's budget is looked at after everything else, and only once for each request: it is spent by
grants alone, so that a stranger with somebody's name and no good token spends nothing of it.
"""

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from math import ceil
from weakref import WeakValueDictionary

from sidecar.core.decision import Decision, Deny, DenyReason, Grant
from sidecar.core.principal import Caller, Principal
from sidecar.core.rate_limit import Buckets, Exceeded, Limit, SharedBuckets
from sidecar.core.request import AccessRequest

# What one subscriber is given (RFC 6177): whoever has one of these addresses has them all.
_IPV6_PREFIX = 64

UNLIMITED = Limit("")


@dataclass(frozen=True, slots=True)
class LimitRules:
    """Limits of accounts, and of addresses on open routes; before both comes that of a route.

    ``shared`` says that other processes take out of the same budgets (``SharedBuckets``).
    ``routes`` are such limits by the routes' names. At most ``most`` callers are
    remembered for each of them.
    """

    account: Limit = UNLIMITED
    address: Limit = UNLIMITED
    routes: Mapping[str, Limit] = field(default_factory=dict)
    most: int = 100_000
    shared: bool = False


class Budget:
    """What is left of one limit, caller by caller. ``name`` tells it from the others."""

    def __init__(self, name: str, limit: Limit, rules: LimitRules) -> None:
        self.name = name
        self.limit = limit
        make = SharedBuckets if rules.shared else Buckets
        self.buckets = None if limit.rate is None else make(limit.rate, limit.burst, rules.most)
        self.in_flight: dict[Hashable, int] = {}


class Budgets:
    """The budgets of one process, for as long as a limiter has them.

    A limiter that is made while another one still has a budget on the same terms takes that one
    over, with what callers have left of it and have in flight.
    """

    def __init__(self) -> None:
        self._kept: WeakValueDictionary[str, Budget] = WeakValueDictionary()

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, name: str, limit: Limit, rules: LimitRules) -> Budget:
        """Return the budget of this name on these terms."""
        terms = repr((name, limit, rules.most, rules.shared))
        budget = self._kept.get(terms)
        if budget is None:
            budget = self._kept[terms] = Budget(name, limit, rules)
        return budget

    def waits(self, now: float) -> dict[str, dict[Hashable, float]]:
        """Return, by its terms, of whom a budget is not full, and the seconds until it is."""
        return {
            terms: budget.buckets.waits(now)
            for terms, budget in self._kept.items()
            if budget.buckets is not None
        }

    def delay(self, terms: str, who: Hashable, seconds: float, now: float) -> None:
        """Let a caller's budget, where there is one on these terms, be full no sooner than that."""
        budget = self._kept.get(terms)
        if budget is not None and budget.buckets is not None and seconds > 0:
            budget.buckets.delay(who, seconds, now)


class Slot:
    """A place among what a caller may have in flight. Implements ``core.decision.Slot``."""

    __slots__ = ("_in_flight", "_who")

    def __init__(self, in_flight: dict[Hashable, int], who: Hashable) -> None:
        self._in_flight = in_flight
        self._who = who

    def take(self) -> None:
        self._in_flight[self._who] = self._in_flight.get(self._who, 0) + 1

    def give_back(self) -> None:
        left = self._in_flight[self._who] - 1
        if left:
            self._in_flight[self._who] = left
        else:
            del self._in_flight[self._who]


class Limiter:
    """Holds callers to their limits. Its budgets are out of ``budgets``, where there are such."""

    def __init__(self, rules: LimitRules, budgets: Budgets | None = None) -> None:
        get = (Budgets() if budgets is None else budgets).get
        self._account = get("account", rules.account, rules)
        self._address = get("address", rules.address, rules)
        self._of_route = {
            route: get(f"route:{route}", limit, rules) for route, limit in rules.routes.items()
        }

    @property
    def budgets(self) -> Iterable[Budget]:
        """The budgets that there are."""
        return (self._account, self._address, *self._of_route.values())

    def judge(self, grant: Grant, request: AccessRequest, now: float) -> Decision:
        """Take a request out of its caller's budget, or refuse it. ``now`` is steady seconds."""
        principal = grant.principal
        budget = self._account if principal is not None else self._address
        if grant.route.limit is not None:
            budget = self._of_route[grant.route.name]
        who = network_of(request.peer) if principal is None else principal.key
        limit, in_flight = budget.limit, budget.in_flight
        if limit.concurrent is not None and in_flight.get(who, 0) >= limit.concurrent:
            exceeded = Exceeded(limit.policy, limit.concurrent, 0)
            return _deny(DenyReason.TOO_MANY_CONCURRENT, grant, exceeded)
        if budget.buckets is not None:
            seconds = budget.buckets.take(who, now)
            if seconds:
                exceeded = Exceeded(limit.policy, limit.burst, limit.window, ceil(seconds))
                return _deny(DenyReason.RATE_LIMITED, grant, exceeded)
        if limit.concurrent is None:
            return grant
        return Grant(grant.route, principal, Slot(in_flight, who))


@lru_cache(maxsize=4096)
def network_of(peer: str) -> str:
    """Return whom an address stands for: itself, or in IPv6 the network of its subscriber."""
    try:
        address = ip_address(peer)
    except ValueError:
        return peer
    if not isinstance(address, IPv6Address):
        return peer
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return f"{int(address) >> (128 - _IPV6_PREFIX):x}::"


def _deny(reason: DenyReason, grant: Grant, exceeded: Exceeded) -> Deny:
    principal = grant.principal
    caller = None if principal is None else _caller(principal)
    detail = f"the limit of this {exceeded.policy}"
    return Deny(reason, detail, grant.route, caller, exceeded=exceeded)


def _caller(principal: Principal) -> Caller:
    return Caller(principal.key, principal.issuer, principal.client_id, principal.token_id)
