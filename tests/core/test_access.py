"""Standing and requirement."""

from dataclasses import replace
from typing import Any

import pytest

from sidecar.core.access import (
    check_requirement,
    check_standing,
    check_switch,
    judge_standing,
    principal_of,
)
from sidecar.core.claims import Claims
from sidecar.core.decision import Denied, DenyReason, Grant
from sidecar.core.groups import GroupRules
from sidecar.core.issuer import Issuer
from sidecar.core.principal import Principal, PrincipalKind
from sidecar.core.routes import Requirement, Route, Unregistered
from sidecar.core.subject import Account, AccountStatus, Standing, SubjectKey

ACTIVE = Account("id", "robot", "Robot", ("ops",), AccountStatus.ACTIVE)
INACTIVE = replace(ACTIVE, status=AccountStatus.INACTIVE)
FOREVER = float("inf")
ISSUER = Issuer("https://idp.example", "corp", audiences=frozenset({"api"}))
CLAIMS = Claims(
    issuer=ISSUER.name,
    subject="robot",
    audiences=frozenset({"api"}),
    scopes=frozenset({"read"}),
    client_id="client",
    expires_at=2000.0,
    not_before=None,
    issued_at=1000.0,
    token_id="t-1",
    raw={},
)


def judge(
    standing: Standing,
    issued_at: float | None = 1000.0,
    unregistered: Unregistered = Unregistered.DENY,
) -> DenyReason | None:
    try:
        judge_standing(standing, token_issued_at=issued_at, unregistered=unregistered)
    except Denied as denied:
        return denied.reason
    return None


R = DenyReason


@pytest.mark.parametrize(
    ("standing", "unregistered", "verdict"),
    [
        (Standing(ACTIVE), Unregistered.DENY, None),
        (Standing(ACTIVE), Unregistered.FORWARD, None),
        (Standing(INACTIVE), Unregistered.DENY, R.SUBJECT_INACTIVE),
        (Standing(INACTIVE), Unregistered.FORWARD, R.SUBJECT_INACTIVE),
        (Standing(None), Unregistered.DENY, R.SUBJECT_UNKNOWN),
        (Standing(None), Unregistered.FORWARD, None),
        (Standing(None, token_revoked=True), Unregistered.FORWARD, R.TOKEN_REVOKED),
        (Standing(ACTIVE, token_revoked=True), Unregistered.DENY, R.TOKEN_REVOKED),
        (Standing(None, 1001.0), Unregistered.FORWARD, R.TOKEN_REVOKED),
        (Standing(None, 1000.0), Unregistered.FORWARD, None),
        (Standing(INACTIVE, 9e9, token_revoked=True), Unregistered.DENY, R.SUBJECT_INACTIVE),
    ],
)
def test_a_standing_is_judged(
    standing: Standing, unregistered: Unregistered, verdict: DenyReason | None
) -> None:
    assert judge(standing, unregistered=unregistered) is verdict


@pytest.mark.parametrize(
    ("account", "realm", "issued_at", "revoked"),
    [
        (0.0, 0.0, None, False),
        (999.9, 0.0, 1000.0, False),
        (1000.0, 0.0, 1000.0, False),
        (1000.1, 0.0, 1000.0, True),
        (0.0, 1000.1, 1000.0, True),
        (1000.1, 1.0, 1000.0, True),
        (1.0, 1000.1, 1000.0, True),
        (FOREVER, 0.0, 9e15, True),
        (0.0, FOREVER, 9e15, True),
        (1.0, 0.0, None, True),
        (0.0, 1.0, None, True),
    ],
)
def test_the_later_not_before_revokes_what_was_issued_earlier(
    *, account: float, realm: float, issued_at: float | None, revoked: bool
) -> None:
    """A token without ``iat`` cannot prove that it is young enough."""
    standing = Standing(replace(ACTIVE, not_before=account), realm)

    assert judge(standing, issued_at) is (R.TOKEN_REVOKED if revoked else None)


def principal(**changed: Any) -> Principal:
    return replace(principal_of(CLAIMS, ISSUER, Standing(ACTIVE)), **changed)


def requirement_verdict(requirement: Requirement, caller: Principal) -> DenyReason | None:
    try:
        check_requirement(requirement, caller)
    except Denied as denied:
        return denied.reason
    return None


@pytest.mark.parametrize(
    ("scopes", "groups", "verdict"),
    [
        ((), (), None),
        (("read",), (), None),
        (("read", "write"), (), R.INSUFFICIENT_SCOPE),
        (("Read",), (), R.INSUFFICIENT_SCOPE),
        ((), ("ops",), None),
        ((), ("admin", "ops"), None),
        ((), ("admin",), R.MISSING_GROUP),
        ((), ("OPS",), R.MISSING_GROUP),
        (("write",), ("admin",), R.INSUFFICIENT_SCOPE),
    ],
)
def test_all_scopes_and_one_group_are_demanded(
    scopes: tuple[str, ...], groups: tuple[str, ...], verdict: DenyReason | None
) -> None:
    requirement = Requirement(scopes=frozenset(scopes), groups=frozenset(groups))

    assert requirement_verdict(requirement, principal()) is verdict


def test_a_principal_is_named_by_its_account() -> None:
    """The token cannot add name or groups: they are the account's."""
    claims = replace(CLAIMS, raw={"groups": ["admin"], "name": "Root"}, groups=("admin",))
    caller = principal_of(claims, ISSUER, Standing(ACTIVE))

    assert caller == Principal(
        key=SubjectKey("corp", "robot"),
        kind=PrincipalKind.SERVICE_ACCOUNT,
        issuer=ISSUER.name,
        name="Robot",
        groups=("ops",),
        scopes=frozenset({"read"}),
        client_id="client",
        token_id="t-1",
        issued_at=1000.0,
        expires_at=2000.0,
    )


def test_without_account_there_is_no_name_and_no_group() -> None:
    caller = principal_of(CLAIMS, ISSUER, Standing(None))

    assert (caller.kind, caller.name, caller.groups) == (PrincipalKind.UNREGISTERED, "", ())
    assert requirement_verdict(Requirement(groups=frozenset({"ops"})), caller) is R.MISSING_GROUP


def recheck(grant: Grant, standing: Standing) -> DenyReason | None:
    try:
        check_standing(grant, standing)
    except Denied as denied:
        return denied.reason
    return None


OPS_ONLY = Route("ops", "/ops", requirement=Requirement(groups=frozenset({"ops"})))
PEOPLE = Route("people", "/people", requirement=Requirement(unregistered=Unregistered.FORWARD))


@pytest.mark.parametrize(
    ("standing", "verdict"),
    [
        (Standing(ACTIVE), None),
        (Standing(INACTIVE), R.SUBJECT_INACTIVE),
        (Standing(None), R.SUBJECT_UNKNOWN),
        (Standing(replace(ACTIVE, groups=())), R.MISSING_GROUP),
        (Standing(replace(ACTIVE, not_before=1000.5)), R.TOKEN_REVOKED),
    ],
)
def test_what_was_granted_is_judged_again(standing: Standing, verdict: DenyReason | None) -> None:
    assert recheck(Grant(OPS_ONLY, principal()), standing) is verdict


def test_an_open_routes_grant_has_nobody_to_judge() -> None:
    assert recheck(Grant(OPS_ONLY, None), Standing(INACTIVE)) is None


@pytest.mark.parametrize(
    ("standing", "verdict"),
    [(Standing(None), None), (Standing(INACTIVE), R.SUBJECT_INACTIVE)],
)
def test_a_forwarded_subject_is_judged_by_its_route(
    standing: Standing, verdict: DenyReason | None
) -> None:
    assert recheck(Grant(PEOPLE, principal(groups=())), standing) is verdict


BY_CLAIM = replace(ISSUER, groups=GroupRules("groups"))
RENAMED = replace(ISSUER, groups=GroupRules(None, {"sre": "ops"}))


def test_where_a_claim_counts_the_accounts_groups_do_not() -> None:
    claims = replace(CLAIMS, groups=("admin",))

    assert principal_of(claims, BY_CLAIM, Standing(ACTIVE)).groups == ("admin",)
    assert principal_of(claims, BY_CLAIM, Standing(None)).groups == ("admin",)


@pytest.mark.parametrize(
    ("issuer", "account", "verdict"),
    [
        (BY_CLAIM, replace(ACTIVE, groups=()), None),
        (BY_CLAIM, INACTIVE, R.SUBJECT_INACTIVE),
        (RENAMED, replace(ACTIVE, groups=("sre",)), None),
        (RENAMED, replace(ACTIVE, groups=("ops",)), R.MISSING_GROUP),
        (RENAMED, replace(ACTIVE, groups=()), R.MISSING_GROUP),
    ],
)
def test_a_grant_is_judged_again_by_the_same_groups(
    issuer: Issuer, account: Account, verdict: DenyReason | None
) -> None:
    """An open stream must not end, or go on, by another rule than that which let it in."""
    claims = replace(CLAIMS, groups=("ops",))
    caller = principal_of(claims, issuer, Standing(replace(ACTIVE, groups=("sre",))))

    assert caller.groups == ("ops",)
    assert recheck(Grant(OPS_ONLY, caller), Standing(account)) is verdict


def test_a_route_takes_websockets_only_and_only_where_it_says_so() -> None:
    takes = Route("watch", "/watch", websocket=True)
    check_switch(takes, ("websocket", "WebSocket"))

    for route, protocols in (
        (takes, ("h2c",)),
        (takes, ("websocket", "h2c")),
        (takes, ("websocket, h2c",)),
        (Route("plain", "/plain"), ("websocket",)),
    ):
        with pytest.raises(Denied) as refused:
            check_switch(route, protocols)
        assert refused.value.reason is DenyReason.NO_ROUTE
