"""Finding a request's route, and judging the subject's standing and the route's requirement.

All of it on every request.
"""

from dataclasses import replace

from sidecar.core.claims import Claims
from sidecar.core.decision import Denied, DenyReason, Grant
from sidecar.core.issuer import Issuer
from sidecar.core.principal import Principal, PrincipalKind
from sidecar.core.request import (
    AccessRequest,
    Ambiguity,
    check_method,
    check_path,
    is_ambiguous,
    other_readings,
)
from sidecar.core.routes import Requirement, Route, Routes, Unregistered
from sidecar.core.status_list import read_reference
from sidecar.core.subject import Standing


def find_route(request: AccessRequest, routes: Routes, tolerated: frozenset[Ambiguity]) -> Route:
    """Return the one route that the request can mean.

    Raises:
        Denied: METHOD_REFUSED, MALFORMED_REQUEST or NO_ROUTE.
    """
    method, path = request.method, request.path
    check_method(method)
    check_path(path, tolerated)
    route = routes.match_route(method, path)
    if any(routes.match_route(method, other) is not route for other in other_readings(path)):
        # `/%61dmin` is not `/admin` to us; to an upstream that decodes before it routes it is.
        raise Denied(DenyReason.MALFORMED_REQUEST, "the path may be read as another route's")
    if route is None:
        raise Denied(DenyReason.NO_ROUTE, "no route for this method and path")
    if not route.requirement.bearer and is_ambiguous(path):
        # Upstream may read such a path as another one, which does need a bearer.
        raise Denied(DenyReason.MALFORMED_REQUEST, "an ambiguous path opens no open route")
    return route


def check_open(route: Route) -> None:
    """Refuse where a route asks for no bearer because nobody may take it.

    Raises:
        Denied: NO_ROUTE.
    """
    if route.requirement.nobody:
        raise Denied(DenyReason.NO_ROUTE, "no route for this method and path")


def check_switch(route: Route, protocols: tuple[str, ...]) -> None:
    """Refuse to let a client go on in another protocol than the route takes.

    Raises:
        Denied: NO_ROUTE.
    """
    if not route.websocket or any(each.lower() != "websocket" for each in protocols):
        raise Denied(DenyReason.NO_ROUTE, "the route takes no upgrade")


def judge_standing(
    standing: Standing,
    *,
    token_issued_at: float | None,
    unregistered: Unregistered,
) -> None:
    """Refuse a subject that is inactive, revoked or (unless the route forwards them) unknown.

    Raises:
        Denied: SUBJECT_INACTIVE, SUBJECT_UNKNOWN or TOKEN_REVOKED.
    """
    account = standing.account
    if account is None:
        if unregistered is not Unregistered.FORWARD:
            raise Denied(DenyReason.SUBJECT_UNKNOWN, "no account")
    elif not account.is_active:
        raise Denied(DenyReason.SUBJECT_INACTIVE, "the account is inactive")
    if standing.token_revoked:
        raise Denied(DenyReason.TOKEN_REVOKED, "jti is revoked")
    not_before = standing.realm_not_before
    if account is not None and account.not_before > not_before:
        not_before = account.not_before
    # A token that does not say when it was issued cannot prove that it is young enough.
    if not_before > 0 and (token_issued_at is None or token_issued_at < not_before):
        raise Denied(DenyReason.TOKEN_REVOKED, "issued before not_before")


def check_requirement(requirement: Requirement, principal: Principal) -> None:
    """Refuse a principal that lacks a scope or every one of the groups.

    Raises:
        Denied: INSUFFICIENT_SCOPE or MISSING_GROUP.
    """
    if not requirement.scopes <= principal.scopes:
        missing = sorted(requirement.scopes - principal.scopes)
        raise Denied(DenyReason.INSUFFICIENT_SCOPE, f"lacks scope {' '.join(missing)}")
    if requirement.groups and requirement.groups.isdisjoint(principal.groups):
        wanted = ", ".join(sorted(requirement.groups))
        raise Denied(DenyReason.MISSING_GROUP, f"is in none of the groups {wanted}")


def principal_of(
    claims: Claims, issuer: Issuer, standing: Standing, binding: str = ""
) -> Principal:
    """Return who is calling. The name is the account's, and the groups are by the issuer's rules.

    Unless these say so, the token cannot add to the groups.
    """
    account = standing.account
    return Principal(
        key=claims.key(issuer),
        kind=PrincipalKind.UNREGISTERED if account is None else PrincipalKind.SERVICE_ACCOUNT,
        issuer=claims.issuer,
        name="" if account is None else account.name,
        groups=issuer.groups.of_caller(claims.groups, account),
        scopes=claims.scopes,
        client_id=claims.client_id,
        token_id=claims.token_id,
        issued_at=claims.issued_at,
        expires_at=claims.expires_at,
        binding=binding,
        group_rules=issuer.groups,
        status=read_reference(claims, issuer),
    )


def check_standing(grant: Grant, standing: Standing) -> None:
    """Judge again what was granted, with what the account store says now.

    Raises:
        Denied: as ``judge_standing`` and ``check_requirement`` do.
    """
    principal = grant.principal
    if principal is None:
        return
    requirement = grant.route.requirement
    judge_standing(
        standing, token_issued_at=principal.issued_at, unregistered=requirement.unregistered
    )
    groups = principal.group_rules.of_caller(principal.groups, standing.account)
    check_requirement(requirement, replace(principal, groups=groups))
