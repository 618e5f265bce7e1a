"""What a connection remembers of its last token changes no decision."""

from collections.abc import Callable
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.decision import Decision, Grant
from sidecar.core.token_memory import TokenMemory
from tests.fakes.tokens import ec_key, key_set, rsa_key
from tests.fakes.world import ISSUER, World

Change = Callable[[World], None]

CHANGES: dict[str, Change] = {
    "disabled": lambda world: world.disable("robot"),
    "active": lambda world: void(world.enroll("robot")),
    "in a group": lambda world: void(world.enroll("robot", "admin")),
    "revoked until now": lambda world: void(
        world.enroll("robot", not_before=world.clock.now() - 5)
    ),
    "keys rotated": lambda world: world.keys.publish(ISSUER, key_set([ec_key()])),
    "keys back": lambda world: world.keys.publish(ISSUER, key_set([rsa_key(), ec_key()])),
    "expired": lambda world: world.clock.advance(400),
    "view lost": lambda world: setattr(world.accounts, "live", False),
    "view back": lambda world: setattr(world.accounts, "live", True),
}


def void(*_: object) -> None:
    """Make an expression a change."""


@given(
    st.lists(
        st.tuples(st.sampled_from(sorted(CHANGES)), st.sampled_from(["/reports", "/admin/x"])),
        max_size=12,
    )
)
def test_whatever_happens_in_between_a_remembered_token_is_judged_as_any_other(
    history: list[tuple[str, str]],
) -> None:
    world = World()
    token = world.sign()
    memory = TokenMemory()

    def ask(path: str, memory: TokenMemory | None) -> Decision | None:
        return world.authorizer.authorize_now(
            replace(world.request("GET", path, token=token), memory=memory)
        )

    assert isinstance(ask("/reports", memory), Grant)
    for change, path in history:
        CHANGES[change](world)
        assert ask(path, memory) == ask(path, None)


def test_another_look_at_the_token_forgets_who_it_made_the_caller() -> None:
    world = World()
    memory = TokenMemory()
    request = replace(world.request(token=world.sign()), memory=memory)
    assert isinstance(world.authorizer.authorize_now(request), Grant)
    assert memory.principal is not None
    assert memory.remembered is not None

    memory.remember(memory.remembered)

    assert memory.principal is None
