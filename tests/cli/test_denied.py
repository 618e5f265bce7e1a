"""What a denied token is taken for."""

import pytest

from sidecar.cli.denied import Case, other_names, shown
from sidecar.core.decision import Deny, DenyReason
from sidecar.core.evidence import Evidence
from tests.fakes.world import World


@pytest.mark.parametrize(
    ("text", "expected"),
    [("a", "a"), ("\x1b[2J", "\\x1b[2J"), ("", "missing"), (7, "missing"), ("x" * 999, "x" * 100)],
)
def test_what_is_shown_moves_no_terminal(text: object, expected: str) -> None:
    assert shown(text) == expected


async def test_other_names_of_the_client_are_those_that_people_register() -> None:
    world = World()
    token = world.sign(sub="id@clients", azp="client", appid="client", preferred_username="sa", x=1)
    _, evidence = await world.authorizer.explain(world.request(token=token))

    assert other_names(evidence) == ["client", "id", "id@clients@clients", "sa"]
    assert other_names(Evidence()) == []


@pytest.mark.parametrize("credential", ["", "x", "a.b.c", "eyJ.x.y", "\x1b", "W10.a.b", "é.a.b"])
def test_a_header_that_cannot_be_read_has_nothing_in_it(credential: str) -> None:
    case = Case(credential, Deny(DenyReason.TOKEN_UNREADABLE), Evidence(), {}, (), 0.0)

    assert case.header == {}
    assert case.claims == {}
    assert case.audiences == []
