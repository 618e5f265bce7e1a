"""A row of the route table."""

import re
from collections.abc import Iterable, Mapping

from pydantic import ValidationInfo, field_validator

from sidecar.core.rate_limit import Limit
from sidecar.core.routes import Requirement, Unregistered, is_pattern
from sidecar.core.routes import Route as RouteRow
from sidecar.settings.fields import Section, Strings
from sidecar.settings.rate_limit import Budget, RateLimit

_NAME = re.compile(r"[\x20-\x7e]{1,64}")
# Behind all others: what none of them matches is told as that, and passes.
UNMATCHED = RouteRow(
    "unmatched", "/**", requirement=Requirement(bearer=False, nobody=True), shadow=True
)
_METHOD = re.compile(r"[A-Z]+(?:-[A-Z]+)*")


class Route(Section):
    """Where a request may go, and what it takes. The first route that matches decides."""

    name: str
    """Names the route in the decision log."""
    path: str
    """A path; {name} stands for one segment, a last ** for all that follows. /x/** is not /x."""
    methods: Strings = ()
    """Methods, in capitals; none means every method."""
    bearer: bool = True
    """Whether it takes a token and an account; false lets everybody through."""
    groups: Strings = ()
    """The account has to be in one of these."""
    scopes: Strings = ()
    """The token has to have all of these."""
    unregistered: Unregistered = Unregistered.DENY
    """forward lets subjects without an account through, for people who share the upstream."""
    websocket: bool = False
    """Whether a connection may be upgraded to WebSocket."""
    rate_limit: Budget | None = None
    """What one caller may do here, instead of `rate_limit`, counted by itself; {} is no limit."""
    shadow: bool | None = None
    """true refuses nobody here, and only logs and counts who would be; without it as `shadow`."""

    @field_validator("name")
    @classmethod
    def _is_name(cls, text: str) -> str:
        if not _NAME.fullmatch(text):
            raise ValueError("expected 1 to 64 visible characters and spaces")
        return text

    @field_validator("path")
    @classmethod
    def _is_pattern(cls, text: str) -> str:
        if not is_pattern(text):
            raise ValueError("expected a path such as /api/sessions/{id}/** in plain characters")
        return text

    @field_validator("methods")
    @classmethod
    def _are_methods(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if not _METHOD.fullmatch(name):
                raise ValueError(f"{name!r} is no method; they are written in capitals")
        return names

    @field_validator("groups", "scopes")
    @classmethod
    def _take_a_bearer(cls, names: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if not all(names):
            raise ValueError("an entry is empty; leave it out")
        if names and info.data.get("bearer") is False:
            raise ValueError(
                "an open route (bearer: false) asks for nothing; leave one of them out"
            )
        return names

    def row(self, limit: Limit | None = None, *, shadow: bool = False) -> RouteRow:
        """Return the route as the decision takes it, with its limit as each process keeps it.

        It is in ``shadow`` where it does not say otherwise by itself.
        """
        return RouteRow(
            name=self.name,
            pattern=self.path,
            methods=frozenset(self.methods),
            requirement=Requirement(
                bearer=self.bearer,
                groups=frozenset(self.groups),
                scopes=frozenset(self.scopes),
                unregistered=self.unregistered,
            ),
            websocket=self.websocket,
            limit=limit,
            shadow=shadow if self.shadow is None else self.shadow,
        )


def limits_of_routes(
    routes: Iterable[Route], general: RateLimit | None, processes: int
) -> Mapping[str, Limit]:
    """Return the limits of routes that have their own, as each of so many processes keeps them."""
    is_shared = general is not None and general.is_shared
    return {
        each.name: each.rate_limit.limit("route", processes, shared=is_shared)
        for each in routes
        if each.rate_limit is not None
    }
