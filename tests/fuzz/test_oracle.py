"""A differential oracle (bar 3): whatever we accept, another verifier accepts as well.

And every token of a generator of honest ones is accepted by both: refusing all would pass else.
"""

import os
import string
from random import Random
from typing import Any

import jwt
import pytest
from jwt.algorithms import OKPAlgorithm

from tests.fakes.tokens import encode, seal
from tests.fakes.world import AUDIENCE, ISSUER, NOW
from tests.fuzz.judging import Judge, read_corpus
from tests.fuzz.mutation import mutated, resealed
from tests.fuzz.signing import KID, fuzz_key

CORPUS = read_corpus()
MUTATIONS = int(os.environ.get("FUZZ_MUTATIONS", "4000"))


@pytest.fixture(autouse=True, scope="module")
def _the_new_name() -> None:
    jwt.register_algorithm("Ed25519", OKPAlgorithm())  # RFC 9864; it knows the old one only


def pyjwt_accepts(token: str) -> bool:
    """Say whether PyJWT takes the token for one of our issuer's and for us, at the world's time."""
    key: Any = fuzz_key().public.raw_value
    try:
        claims: dict[str, Any] = jwt.decode(
            token,
            key,
            algorithms=["Ed25519"],
            # It reads the machine's clock; the world's stands still.
            options={
                "require": ["exp", "sub"],
                "verify_exp": False,
                "verify_nbf": False,
                "verify_iat": False,
            },
            audience=AUDIENCE,
            issuer=ISSUER,
        )
    except jwt.PyJWTError:
        return False
    began = all(float(claims.get(name, 0)) <= NOW for name in ("nbf", "iat"))
    return began and float(claims["exp"]) > NOW


def test_what_we_accept_another_verifier_accepts() -> None:
    """FUZZ_MUTATIONS=100000 makes it long."""
    random = Random(1)  # noqa: S311 - seeded, to be the same each time
    strict = Judge(CORPUS)
    accepted = 0
    for number in range(MUTATIONS):
        if number % 2:
            token = resealed(random, CORPUS)
            granted = strict.judge(token, sealed=True)
        else:
            token = mutated(random, CORPUS)
            granted = strict.judge(token)
        if granted:
            accepted += 1
            assert pyjwt_accepts(token), token

    assert accepted > MUTATIONS // 20


def test_every_honest_token_is_accepted_by_both() -> None:
    random = Random(2)  # noqa: S311 - seeded, to be the same each time
    judge = Judge()
    for _ in range(MUTATIONS // 4):
        token = honest(random)

        assert judge.judge(token, sealed=True), token
        assert pyjwt_accepts(token), token


def test_no_honest_token_is_accepted_from_a_stranger() -> None:
    random = Random(3)  # noqa: S311 - seeded, to be the same each time
    judge = Judge()
    for _ in range(MUTATIONS // 20):
        message = honest(random).rpartition(".")[0]
        forged = f"{message}.{encode(fuzz_key('stranger').sign(message.encode()))}"

        assert not judge.judge(forged)
        assert not pyjwt_accepts(forged)


def honest(random: Random) -> str:
    """Return a token as providers write them, with members that nobody expects."""
    header: dict[str, Any] = {"alg": "Ed25519", "kid": KID}
    if random.random() < 0.8:
        header["typ"] = random.choice(("JWT", "at+jwt", "AT+JWT", "application/at+jwt"))
    if random.random() < 0.2:
        header[f"x-{word(random)}"] = something(random)
    others = [word(random) for _ in range(random.randrange(3))]
    claims: dict[str, Any] = {
        "iss": ISSUER,
        "sub": "robot",
        "aud": random.choice((AUDIENCE, [AUDIENCE], [*others, AUDIENCE, *others])),
        "exp": NOW + random.choice((1, 300, 0.25, 86_400, 10**9)),
    }
    if random.random() < 0.7:
        claims["iat"] = NOW - random.choice((0, 1, 3600, 0.5))
    if random.random() < 0.4:
        claims["nbf"] = NOW - random.choice((0, 1, 3600, 0.5))
    if random.random() < 0.5:
        claims["jti"] = word(random) or "j"
    if random.random() < 0.5:
        claims[random.choice(("scope", "scp"))] = random.choice((" ".join(others), others))
    for _ in range(random.randrange(4)):
        claims[f"x-{word(random)}"] = something(random)
    names = list(claims)
    random.shuffle(names)
    return seal(header, {name: claims[name] for name in names}, fuzz_key())


def word(random: Random) -> str:
    return "".join(random.choices(string.ascii_letters + "-_.:/ é☃", k=random.randrange(12)))


def something(random: Random, depth: int = 3) -> Any:
    kind = random.randrange(7 if depth else 5)
    match kind:
        case 0:
            return random.choice((None, True, False))
        case 1:
            return random.randrange(-(10**12), 10**12)
        case 2:
            return random.random()
        case 3 | 4:
            return word(random)
        case 5:
            return [something(random, depth - 1) for _ in range(random.randrange(4))]
        case _:
            return {word(random): something(random, depth - 1) for _ in range(random.randrange(4))}
