"""Each door on a route in shadow: who would be refused passes, and passes as nobody."""

from dataclasses import replace

import pytest

from sidecar.core.decision import Deny, DenyReason, Grant
from tests.fakes.doors import DOORS, Asked
from tests.fakes.world import ROUTES, World

IN_SHADOW = tuple(replace(each, shadow=True) for each in ROUTES)


@pytest.mark.parametrize("door", DOORS)
async def test_nobody_gets_an_identity_through_a_shadow(door: str) -> None:
    """Neither one that the client claims nor that of a token which would be refused."""
    world = World(routes=IN_SHADOW)
    token = world.sign()
    world.disable("robot")
    spoofed = (("X-Auth-Subject", "root"), ("X-Auth-Groups", "admin"))
    async with DOORS[door](world) as opened:
        answer = await opened.ask(Asked(authorization=(f"Bearer {token}",), fields=spoofed))

    assert answer.status == 200
    assert isinstance(answer.decision, Grant)
    assert answer.decision.shadowed is not None
    assert answer.decision.shadowed.reason is DenyReason.SUBJECT_INACTIVE
    assert answer.told["x-auth-subject"] == [""]
    assert answer.told["x-auth-groups"] == [""]


@pytest.mark.parametrize("door", DOORS)
async def test_a_good_token_has_its_identity_there(door: str) -> None:
    world = World(routes=IN_SHADOW)
    async with DOORS[door](world) as opened:
        answer = await opened.ask(Asked(authorization=(f"Bearer {world.sign()}",)))

    assert answer.status == 200
    assert answer.told["x-auth-subject"] == ["robot"]


@pytest.mark.parametrize("door", DOORS)
async def test_what_is_malformed_is_refused_there(door: str) -> None:
    async with DOORS[door](World(routes=IN_SHADOW)) as opened:
        answer = await opened.ask(Asked(target="/reports/../admin"))

    assert answer.status == 400
    assert isinstance(answer.decision, Deny)


async def test_upstream_gets_the_credential_as_it_came() -> None:
    async with DOORS["reverse proxy"](World(routes=IN_SHADOW)) as opened:
        answer = await opened.ask(Asked(authorization=("basic  eA==", "Basic eQ==")))

    assert answer.status == 200
    assert answer.told["authorization"] == ["basic  eA==", "Basic eQ=="]
