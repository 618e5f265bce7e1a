"""Agents: their own credential is known by its form, and no token ever is taken for one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.fronts.grpc_proxy.agents import is_agents
from tests.fakes.world import World

CONNECT = "/protobuf.Transport/Connect"
PRE_CONNECT = "/protobuf.Transport/PreConnect"
KEY = "Bearer x-agt-c2VjcmV0"
DSN = "Bearer grpcs://prod:c2VjcmV0@gateway.example:8443?mode=standard"


@pytest.mark.parametrize("credential", [KEY, DSN, "Bearer http://h:80/" + "a" * 64])
def test_an_agent_with_its_key_is_known(credential: str) -> None:
    assert is_agents(CONNECT, ["agent"], [credential])
    assert is_agents(PRE_CONNECT, [], [credential])
    assert is_agents(PRE_CONNECT, ["agent"], [credential])


@pytest.mark.parametrize(
    "origins",
    [[], ["client"], ["agent", "client"], ["client", "agent"], ["Agent"], ["agent "], [""]],
)
def test_who_does_not_say_agent_and_nothing_else_is_none(origins: list[str]) -> None:
    assert not is_agents(CONNECT, origins, [DSN])


@pytest.mark.parametrize(
    "authorization",
    [
        [],
        [DSN, DSN],
        ["Bearer a", DSN],
        [DSN.replace("Bearer", "bearer")],
        [DSN.replace("Bearer ", "Bearer  ")],
        [DSN + " x"],
        [DSN + ", Bearer x"],
        [f"{DSN}\n"],
        ["Bearer x-agt-"],
        ["Bearer xapi-1"],
        ["Bearer hpk_1"],
        ["Bearer 1|2"],
        ["Bearer //x:y@h"],
        ["Bearer eyJhbGciOiJub25lIn0.e30.grpcs://a:b@c"],
    ],
)
def test_what_the_gateway_would_not_take_for_an_agents_key_is_none(
    authorization: list[str],
) -> None:
    assert not is_agents(CONNECT, ["agent"], authorization)


def test_a_token_is_never_an_agents_key() -> None:
    """A revoked subject cannot get past its check by saying ``agent``."""
    world = World()

    assert not is_agents(CONNECT, ["agent"], [f"Bearer {world.sign()}"])


@given(st.lists(st.from_regex(r"[A-Za-z0-9_-]{0,20}", fullmatch=True), min_size=3, max_size=3))
def test_nothing_of_a_tokens_form_is(segments: list[str]) -> None:
    segments[0] = f"e{segments[0]}"  # base64url of an object's brace

    assert not is_agents(CONNECT, ["agent"], [f"Bearer {'.'.join(segments)}"])
