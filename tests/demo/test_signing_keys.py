"""The demo provider's keys."""

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

from sidecar.demo.signing_keys import Algorithm, SigningKeys


@pytest.mark.parametrize(
    ("algorithm", "kind", "members"),
    [("RS256", RSAKey, {"n", "e"}), ("ES256", ECKey, {"crv", "x", "y"})],
)
def test_a_token_is_verified_by_the_published_key(
    algorithm: Algorithm, kind: type[RSAKey] | type[ECKey], members: set[str]
) -> None:
    keys = SigningKeys(algorithm)
    (published,) = keys.public()

    token = jwt.decode(
        keys.sign({"sub": "alice"}), kind.import_key(dict(published)), algorithms=[algorithm]
    )

    assert token.claims == {"sub": "alice"}
    assert token.header == {"alg": algorithm, "typ": "at+jwt", "kid": keys.kids[0]}
    # Nothing else: a private member here would hand the provider over.
    assert set(published) == {"kty", "use", "alg", "kid"} | members


def test_after_a_rotation_the_new_key_signs_and_the_old_one_stays_published() -> None:
    keys = SigningKeys("ES256")
    (old,) = keys.kids

    new = keys.rotate()

    assert keys.kids == [old, new]
    assert [key["kid"] for key in keys.public()] == [old, new]
    keys.retire(old)
    assert keys.kids == [new]


def test_an_unknown_key_cannot_be_retired() -> None:
    with pytest.raises(KeyError):
        SigningKeys("ES256").retire("nobody's")


def test_the_signing_key_cannot_be_retired() -> None:
    keys = SigningKeys("ES256")

    with pytest.raises(ValueError, match="rotate"):
        keys.retire(keys.kids[0])
