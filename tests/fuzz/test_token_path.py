"""Tokens changed at random, the same ones each time; ``make fuzz`` goes on where this ends."""

from functools import cache
from random import Random

from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.fuzz.judging import Judge, read_corpus, try_octets
from tests.fuzz.mutation import mutated, resealed
from tests.fuzz.signing import other_keys, signed_anew

CORPUS = read_corpus()
BOUNDED = settings(max_examples=400, derandomize=True, deadline=None, database=None)
RANDOM = st.randoms(use_true_random=False)


def test_every_token_of_the_corpus_is_granted() -> None:
    """Else whatever is made of them would be refused for nothing."""
    judge = Judge(CORPUS)

    assert len(CORPUS) >= 10
    assert all(judge.judge(token) for token in CORPUS)


def test_the_judge_fails_where_it_has_to() -> None:
    """It is told that nobody signed what somebody has."""
    try:
        Judge().judge(CORPUS[0])
    except AssertionError:
        return
    raise RuntimeError("a grant went unnoticed")


@BOUNDED
@given(RANDOM)
def test_nothing_is_granted_that_nobody_signed(random: Random) -> None:
    """Of a token whose signature has one form only, not an octet may differ."""
    Judge(CORPUS).judge(mutated(random, CORPUS))


@BOUNDED
@given(RANDOM)
def test_the_same_holds_where_keys_of_all_types_share_a_kid(random: Random) -> None:
    """An ECDSA signature has a second form, but none that a change at random would find."""
    corpus = of_all_types()

    Judge(corpus).judge(mutated(random, corpus))


@cache
def of_all_types() -> list[str]:
    others = [signed_anew(token, key) for key in other_keys() for token in CORPUS]
    assert all(Judge(others).judge(token) for token in others)
    return [*CORPUS, *others]


@BOUNDED
@given(RANDOM)
def test_whatever_an_issuer_signs_is_judged(random: Random) -> None:
    """It may be granted; then for the subject that it names, which is judged with it."""
    Judge().judge(resealed(random, CORPUS), sealed=True)


@BOUNDED
@given(st.binary(max_size=300))
@example(b"s{}\n{}")
@example(b'f{"alg":"Ed25519","kid":"fuzz"}\n{"iss":"https://idp.example"}')
@example(b"lBearer a.b.c\nBearer a.b.c")
@example(b"\xff")
def test_any_octets_are_judged(octets: bytes) -> None:
    try_octets(Judge(CORPUS), octets)
