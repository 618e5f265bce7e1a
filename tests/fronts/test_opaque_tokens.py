"""An opaque token at every door: in, refused, and 503 while nobody can say what it is worth."""

import pytest

from sidecar.core.decision import DenyReason, Grant
from tests.attacks.tables import verdict
from tests.fakes.doors import DOORS, Asked
from tests.test_introspection import OPAQUE, asking

BEARER = Asked(authorization=(f"Bearer {OPAQUE}",))


@pytest.mark.parametrize("door", DOORS)
async def test_it_is_let_in_on_its_issuers_word(door: str) -> None:
    world = asking()
    async with DOORS[door](world) as opened:
        answer = await opened.ask(BEARER)

    assert answer.status == 200
    assert isinstance(answer.decision, Grant)
    assert answer.told["x-auth-subject"] == ["robot"]


@pytest.mark.parametrize("door", DOORS)
async def test_it_is_refused_when_its_issuer_does_not_know_it(door: str) -> None:
    world = asking()
    world.introspector.active.clear()
    async with DOORS[door](world) as opened:
        answer = await opened.ask(BEARER)

    assert answer.status == 401
    assert verdict(answer.decision) == DenyReason.TOKEN_INACTIVE
    assert not answer.told


@pytest.mark.parametrize("door", DOORS)
async def test_while_nobody_can_say_the_answer_is_503(door: str) -> None:
    world = asking()
    world.introspector.is_down = True
    async with DOORS[door](world) as opened:
        answer = await opened.ask(BEARER)

    assert answer.status == 503
    assert verdict(answer.decision) == DenyReason.INTROSPECTION_UNAVAILABLE
    assert not answer.told
