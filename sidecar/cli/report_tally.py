"""What a decision log comes to: who was refused, or would have been, why, where and how often.

A log has no end and is full of what strangers wrote, so all that is kept by name is bounded. What
comes when there is no more room is counted as ``others``, and the report says so.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, TypeVar

from sidecar.cli.decision_lines import Line
from sidecar.core.decision import DenyReason
from sidecar.ports import CutReason

MOST_CALLERS = 10_000
MOST_ROUTES = 1_000
_MOST_ROUTES_OF_CALLER = 20
_MOST_EXAMPLES = 3
_LONGEST_EXAMPLE = 160
_LONGEST_NAME = 256
_KNOWN = frozenset(reason.value for reason in DenyReason)
_CUTS = frozenset(reason.value for reason in CutReason)
# Where the request itself is what is wrong, it is the example.
_ABOUT_THE_REQUEST = frozenset({DenyReason.NO_ROUTE.value, DenyReason.METHOD_REFUSED.value})

K = TypeVar("K")
V = TypeVar("V")


class Caller(NamedTuple):
    """Who asked. Where no good signature says it there is only the ``peer``'s address."""

    realm: str = ""
    subject: str = ""
    issuer: str = ""
    client_id: str = ""
    peer: str = ""


@dataclass(slots=True)
class Refusals:
    """So many that were let through in shadow, and so many that were refused."""

    shadowed: int = 0
    refused: int = 0

    @property
    def total(self) -> int:
        return self.shadowed + self.refused

    def count(self, *, enforced: bool) -> None:
        if enforced:
            self.refused += 1
        else:
            self.shadowed += 1


@dataclass(slots=True)
class OfReason(Refusals):
    """Those of one reason, with some examples."""

    examples: dict[str, None] = field(default_factory=dict)


@dataclass(slots=True)
class OfCaller(Refusals):
    """Those of one caller. ``first`` and ``last`` are times as the log writes them."""

    reasons: Counter[str] = field(default_factory=Counter)
    routes: Counter[str] = field(default_factory=Counter)
    first: str = ""
    last: str = ""


@dataclass(slots=True)
class OfRoute(Refusals):
    """Those of one route, and what was granted there."""

    granted: int = 0
    reasons: Counter[str] = field(default_factory=Counter)


class Bounded(Generic[K, V]):
    """Values by name, ``most`` of them; all other names share one more, ``others``."""

    def __init__(self, make: Callable[[], V], most: int) -> None:
        self._make = make
        self._most = most
        self.found: dict[K, V] = {}
        self.others: V | None = None

    def of(self, name: K) -> V:
        """Return the value of the name, made where there is room, or that of all others."""
        value = self.found.get(name)
        if value is not None:
            return value
        if len(self.found) < self._most:
            value = self.found[name] = self._make()
            return value
        if self.others is None:
            self.others = self._make()
        return self.others


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which lines count: of a time (as the log writes it), of a route; empty is all.

    With ``shadow_only`` what was refused in earnest is left out.
    """

    since: str = ""
    until: str = ""
    route: str = ""
    shadow_only: bool = False

    def matches(self, line: Line) -> bool:
        """Say whether this is one."""
        return (
            self.since <= line.ts
            and (not self.until or line.ts < self.until)
            and self.route in ("", line.route)
            and not (self.shadow_only and line.outcome == "denied" and line.enforced)
        )


class Tally:
    """Counts line by line."""

    def __init__(
        self, wanted: Wanted, *, callers: int = MOST_CALLERS, routes: int = MOST_ROUTES
    ) -> None:
        self._wanted = wanted
        self.granted = 0
        self.refusals = Refusals()
        self.other_lines = 0
        self.left_out = 0
        self.first = self.last = ""
        self.reasons: Bounded[str, OfReason] = Bounded(OfReason, len(_KNOWN) + 1)
        self.callers: Bounded[Caller, OfCaller] = Bounded(OfCaller, callers)
        self.routes: Bounded[str, OfRoute] = Bounded(OfRoute, routes)
        self.cuts: Counter[str] = Counter()

    @property
    def requests(self) -> int:
        """How many decisions were counted."""
        return self.granted + self.refusals.total

    @property
    def is_ready(self) -> bool:
        """Whether there were requests, and shadow let none through that would be refused."""
        return self.requests > 0 and not self.refusals.shadowed

    def count_all(self, lines: Iterable[Line | None]) -> None:
        """Count these; None is a line that is no decision."""
        for line in lines:
            if line is None:
                self.other_lines += 1
            elif self._wanted.matches(line):
                self._count(line)
            else:
                self.left_out += 1

    def _count(self, line: Line) -> None:
        self.first = min(self.first or line.ts, line.ts)
        self.last = max(self.last, line.ts)
        if line.event == "cut":
            self.cuts[line.reason if line.reason in _CUTS else "other"] += 1
        elif line.outcome == "granted":
            self.granted += 1
            self.routes.of(line.route[:_LONGEST_NAME]).granted += 1
        else:
            self._count_refusal(line)

    def _count_refusal(self, line: Line) -> None:
        reason = line.reason if line.reason in _KNOWN else "other"
        of_reason = self.reasons.of(reason)
        route = line.route[:_LONGEST_NAME]
        of_route, of_caller = self.routes.of(route), self.callers.of(_caller(line))
        for each in (self.refusals, of_reason, of_route, of_caller):
            each.count(enforced=line.enforced)
        if len(of_reason.examples) < _MOST_EXAMPLES:
            of_reason.examples[_example(line)] = None
        of_route.reasons[reason] += 1
        of_caller.reasons[reason] += 1
        if route in of_caller.routes or len(of_caller.routes) < _MOST_ROUTES_OF_CALLER:
            of_caller.routes[route] += 1
        of_caller.first = min(of_caller.first or line.ts, line.ts)
        of_caller.last = max(of_caller.last, line.ts)


def _caller(line: Line) -> Caller:
    if not line.subject:
        return Caller(peer=line.peer[:_LONGEST_NAME])
    names = (line.realm, line.subject, line.issuer, line.client_id)
    return Caller(*(each[:_LONGEST_NAME] for each in names))


def _example(line: Line) -> str:
    asked = f"{line.method} {line.path}"
    if line.reason in _ABOUT_THE_REQUEST:
        return asked[:_LONGEST_EXAMPLE]
    malformed = line.reason == DenyReason.MALFORMED_REQUEST
    return (f"{line.detail}: {asked}" if malformed else line.detail)[:_LONGEST_EXAMPLE]
