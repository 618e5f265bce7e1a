"""The memory of verified signatures."""

import pytest

from sidecar.core.bearer import BearerToken
from sidecar.core.claims import Claims
from sidecar.core.decision import DenyReason
from sidecar.core.issuer import Issuer
from sidecar.core.verified_tokens import Refused, Remembered, VerifiedTokens

ISSUER = Issuer("https://idp.example")
CLAIMS = Claims(
    ISSUER.name, "robot", frozenset(), frozenset(), "", 1.0, None, None, None, {"sub": "robot"}
)

BAD = Refused(ISSUER.name, 1, DenyReason.BAD_SIGNATURE, "why")


def remembering(*tokens: str, capacity: int = 2) -> VerifiedTokens:
    memory = VerifiedTokens(capacity)
    for generation, token in enumerate(tokens):
        approved(memory, token, generation)
    return memory


def approved(memory: VerifiedTokens, token: str, generation: int = 0) -> None:
    digest = memory.digest(BearerToken(token))
    memory.remember(digest, ISSUER, CLAIMS, generation)
    memory.approve(digest)


def recalled(memory: VerifiedTokens, token: str) -> Remembered | None:
    return memory.recall(memory.digest(BearerToken(token)))


def refused(memory: VerifiedTokens, token: str) -> Refused | None:
    return memory.refusal(memory.digest(BearerToken(token)))


def known(memory: VerifiedTokens, *tokens: str) -> list[str]:
    return [token for token in tokens if recalled(memory, token) is not None]


def test_a_token_is_recalled_with_the_generation_that_verified_it() -> None:
    memory = remembering("x", "a.b.c")

    assert recalled(memory, "a.b.c") == (ISSUER, CLAIMS, 1)


def test_a_token_never_seen_is_not_recalled() -> None:
    assert recalled(remembering("a.b.c"), "a.b.d") is None


@pytest.mark.parametrize("variant", ["a.b.c=", "a.b.c==", "a.b.c.", "A.b.c", "a.b.C", "a.b."])
def test_another_spelling_is_another_token(variant: str) -> None:
    assert known(remembering("a.b.c"), variant) == []


def test_a_token_is_remembered_anew_under_new_keys() -> None:
    memory = remembering("a", "a")

    assert len(memory) == 1
    assert recalled(memory, "a") == (ISSUER, CLAIMS, 1)


def test_the_memory_is_bounded_and_drops_the_least_recently_used() -> None:
    memory = remembering("a", "b")
    assert known(memory, "a") == ["a"]
    approved(memory, "c")

    assert len(memory) == 2
    assert known(memory, "a", "b", "c") == ["a", "c"]


def test_a_memory_without_room_remembers_nothing() -> None:
    memory = remembering("a", capacity=0)

    assert (len(memory), known(memory, "a")) == (0, [])


def test_the_memory_holds_no_token() -> None:
    memory = remembering("header.claims.signature")

    assert "header" not in repr([memory._remembered, memory._refused])


def test_two_memories_hash_differently() -> None:
    """Nobody outside can aim for a place in it."""
    one, other = remembering("a"), remembering("a")

    assert set(one._remembered).isdisjoint(other._remembered)


def test_a_refusal_is_recalled_for_the_same_token_only_with_the_keys_that_made_it() -> None:
    memory = VerifiedTokens(8)
    assert refused(memory, "a.b.c") is None
    memory.refuse(memory.digest(BearerToken("a.b.c")), BAD)

    assert refused(memory, "a.b.c") == BAD
    assert refused(memory, "a.b.C") is None
    assert recalled(memory, "a.b.c") is None


def test_the_memory_of_refusals_is_bounded() -> None:
    memory = VerifiedTokens(2)
    for token in ("a", "b", "c"):
        memory.refuse(memory.digest(BearerToken(token)), BAD)

    assert [each for each in "abc" if refused(memory, each) is not None] == ["b", "c"]


def test_tokens_that_are_not_approved_do_not_make_it_forget_those_that_are() -> None:
    memory = remembering("good", capacity=2)
    for number in range(100):
        memory.remember(memory.digest(BearerToken(f"expired {number}")), ISSUER, CLAIMS, 0)

    assert known(memory, "good", "expired 0", "expired 98", "expired 99") == [
        "good", "expired 98", "expired 99",
    ]  # fmt: skip
    assert len(memory) == 1


def test_to_approve_what_is_not_known_any_more_changes_nothing() -> None:
    memory = remembering("good")
    memory.approve(memory.digest(BearerToken("forgotten")))
    memory.approve(memory.digest(BearerToken("good")))

    assert known(memory, "good", "forgotten") == ["good"]
