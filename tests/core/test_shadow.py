"""What a route in shadow lets pass, and what is refused there all the same."""

from dataclasses import replace

import pytest

from sidecar.core.decision import Deny, DenyReason, Grant, caller_in, denial_in
from sidecar.core.principal import Caller
from sidecar.core.request import AccessRequest
from sidecar.core.routes import Route
from sidecar.core.shadow import judge_in_shadow
from sidecar.core.subject import SubjectKey

SHADOW = Route("reports", "/reports/**", shadow=True)
REQUEST = AccessRequest("GET", "host", "/reports/1", "", (), "192.0.2.7", "r-1")
CALLER = Caller(SubjectKey("corp", "robot"), "https://idp.example", "robot-client", None)

ABOUT_THE_REQUEST = {
    DenyReason.MALFORMED_REQUEST,
    DenyReason.TOO_SLOW,
    DenyReason.UNTRUSTED_PEER,
    DenyReason.METHOD_REFUSED,
    DenyReason.EXPECTATION_REFUSED,
    DenyReason.OVERLOADED,
}


@pytest.mark.parametrize("reason", [each for each in DenyReason if each not in ABOUT_THE_REQUEST])
def test_what_is_about_the_caller_passes_with_nobody_to_vouch_for_it(reason: DenyReason) -> None:
    deny = Deny(reason, "why", SHADOW, CALLER)

    grant = judge_in_shadow(deny, REQUEST)

    assert grant == Grant(SHADOW, None, shadowed=deny)
    assert denial_in(grant) is deny
    assert caller_in(grant) is CALLER


@pytest.mark.parametrize("reason", sorted(ABOUT_THE_REQUEST))
def test_what_cannot_be_read_safely_or_would_bring_us_down_is_refused(reason: DenyReason) -> None:
    deny = Deny(reason, "why", SHADOW)

    assert judge_in_shadow(deny, REQUEST) is deny


def test_a_route_that_is_not_in_shadow_refuses_and_so_does_no_route_at_all() -> None:
    enforced = Deny(DenyReason.NO_CREDENTIALS, route=replace(SHADOW, shadow=False))
    nowhere = Deny(DenyReason.NO_ROUTE)

    assert judge_in_shadow(enforced, REQUEST) is enforced
    assert judge_in_shadow(nowhere, REQUEST) is nowhere


def test_a_switch_to_a_protocol_that_the_route_does_not_take_is_refused() -> None:
    """What comes after it would pass unseen."""
    deny = Deny(DenyReason.NO_ROUTE, "the route takes no upgrade", SHADOW)

    assert judge_in_shadow(deny, replace(REQUEST, switches_to=("h2c",))) is deny


@pytest.mark.parametrize("path", ["/reports//1", "/reports/%2F1", "/reports/1;x"])
def test_a_path_that_upstream_may_take_for_another_routes_is_refused(path: str) -> None:
    """That other route may be enforced."""
    deny = Deny(DenyReason.NO_CREDENTIALS, route=SHADOW)

    assert judge_in_shadow(deny, replace(REQUEST, path=path)) is deny


def test_a_plain_grant_hides_no_denial() -> None:
    assert denial_in(Grant(SHADOW)) is None
    assert caller_in(Grant(SHADOW)) is None
