"""The route table: where a request goes and what it demands. Nothing passes unlisted."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum, unique

from sidecar.core.rate_limit import Limit

_PARAMETER = re.compile(r"\{[a-z_]+\}")
# A parameter is a whole segment: several in one would let a path of one letter, repeated, keep the
# matcher busy for ever.
_SEGMENT = r"(?:[A-Za-z0-9._~!$&'()+,=:@-]+|\{[a-z_]+\})"
_PATTERN = re.compile(rf"/(?:{_SEGMENT}(?:/{_SEGMENT})*/?)?(?:\*\*)?")


@unique
class Unregistered(StrEnum):
    """What becomes of a subject with a good token and no account."""

    DENY = "deny"
    FORWARD = "forward"


@dataclass(frozen=True, slots=True)
class Requirement:
    """What a route demands of its caller.

    One of ``groups`` (if any are named) and all of ``scopes``. Without ``bearer`` the route is
    open: it passes with no credential, and no identity is claimed for it. ``own_credential`` lets
    pass as well who shows, in place of a bearer, a credential of upstream's own: that judges it.
    ``nobody`` refuses everybody, as where there is no route.
    """

    bearer: bool = True
    groups: frozenset[str] = frozenset()
    scopes: frozenset[str] = frozenset()
    unregistered: Unregistered = Unregistered.DENY
    own_credential: bool = False
    nobody: bool = False


@dataclass(frozen=True, slots=True)
class Route:
    """One row of the table.

    ``pattern`` is a path in which ``{name}`` stands for exactly one segment and a last ``**`` for
    anything that follows, nothing included; ``/**`` takes ``OPTIONS *``, which is about the server
    as a whole (RFC 9110, 9.3.7). ``methods`` empty means every method. ``limit`` holds
    each of its callers, in place of the one for all routes. In ``shadow`` what would be refused
    passes all the same, and nobody vouches for it (``core.shadow``).
    """

    name: str
    pattern: str
    methods: frozenset[str] = frozenset()
    requirement: Requirement = field(default_factory=Requirement)
    websocket: bool = False
    limit: Limit | None = None
    shadow: bool = False


def is_pattern(text: str) -> bool:
    """Say whether ``text`` is a route pattern."""
    return bool(_PATTERN.fullmatch(text))


class Routes:
    """The table, first match wins, compiled to one regular expression per method.

    A path matches byte for byte, as it came: nothing is decoded, folded or normalised, and paths
    on which two programs could disagree never come here (``core.request.check_path``).
    """

    def __init__(self, routes: Sequence[Route]) -> None:
        self.routes = tuple(routes)
        methods = frozenset(method for route in self.routes for method in route.methods)
        self._by_method = {method: _Matcher(self.routes, method) for method in methods}
        self._any_method = _Matcher(self.routes, None)

    @property
    def in_shadow(self) -> int:
        """How many of the routes are in shadow."""
        return sum(route.shadow for route in self.routes)

    def match_route(self, method: str, path: str) -> Route | None:
        """Return the first route for this method and path, or None.

        Methods are case-sensitive (RFC 9110, 9.1); an unlisted one matches only routes that take
        every method.
        """
        return self._by_method.get(method, self._any_method).match(path)


class _Matcher:
    def __init__(self, routes: Sequence[Route], method: str | None) -> None:
        self._routes = [route for route in routes if not route.methods or method in route.methods]
        alternatives = "|".join(f"({_expression(route.pattern)})" for route in self._routes)
        self._expression = re.compile(alternatives or r"(?!)")

    def match(self, path: str) -> Route | None:
        found = self._expression.fullmatch(path)
        return self._routes[found.lastindex - 1] if found and found.lastindex else None


def _expression(pattern: str) -> str:
    if pattern == "/**":
        return r"/.*|\*"
    rest = pattern.endswith("**")
    parts = _PARAMETER.split(pattern.removesuffix("**"))
    return "[^/]+".join(re.escape(part) for part in parts) + (".*" if rest else "")
