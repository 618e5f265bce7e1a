"""How much one caller may ask for."""

from collections.abc import Mapping
from fractions import Fraction
from math import ceil
from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator

from sidecar.admission import LimitRules
from sidecar.core.rate_limit import Limit
from sidecar.settings.fields import Section


class Budget(Section):
    """What one caller may do. Whoever asks for more gets 429 with Retry-After."""

    requests_per_second: Annotated[float, Field(gt=0, le=1_000_000)] | None = None
    """Requests a second, on average; 0.2 is one in five seconds. Without it any number."""
    burst: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    """Requests that may come at once; without it those of one second."""
    concurrent: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    """Requests, streams included, that may be in flight at one time; without it any number."""

    @field_validator("burst")
    @classmethod
    def _fills_up(cls, burst: int | None, info: ValidationInfo) -> int | None:
        if burst is not None and info.data.get("requests_per_second", 1) is None:
            raise ValueError("has no effect without requests_per_second; set that too")
        return burst

    def limit(self, policy: str, processes: int, *, shared: bool = False) -> Limit:
        """Return the limit, as each of so many processes keeps it.

        Where the budget is ``shared``, they tell each other of what was taken from it.
        """
        rate = self.requests_per_second
        burst = self.burst or ceil(rate or 1)
        exact = None if rate is None else Fraction(str(rate))
        return Limit(policy, exact, burst, self.concurrent).shared_by(processes, rate=not shared)


class RateLimit(Budget):
    """What one account may do, on all routes that have no limit of their own."""

    open_routes: Budget | None = None
    """The same for routes without a bearer: there it is one address (in IPv6, one /64)."""
    max_callers: Annotated[int, Field(ge=1, le=10_000_000)] = 100_000
    """Callers of whom is remembered what they have left, for each limit."""
    shared: Literal["redis"] | None = None
    """redis: all workers and sidecars share the budgets; else the workers share them out."""
    exchange_every: Annotated[float, Field(ge=0.01, le=60)] = 0.1
    """Seconds from one exchange of what was taken to the next; no request waits for it."""

    def rules(self, routes: Mapping[str, Limit], processes: int) -> LimitRules:
        """Return all limits, as each of so many processes keeps them; ``routes`` by their names."""
        of_address = Budget() if self.open_routes is None else self.open_routes
        return LimitRules(
            self.limit("account", processes, shared=self.is_shared),
            of_address.limit("address", processes, shared=self.is_shared),
            routes,
            self.max_callers,
            self.is_shared,
        )

    @property
    def is_shared(self) -> bool:
        return self.shared is not None


def check_shared(limit: RateLimit | None, info: ValidationInfo) -> RateLimit | None:
    """Refuse to share budgets where there is no Redis."""
    accounts = info.data.get("accounts")
    is_shared = limit is not None and limit.is_shared
    if is_shared and accounts is not None and accounts.url.startswith("memory:"):
        raise ValueError("shared: accounts in memory:// are in no Redis; leave it out")
    return limit
