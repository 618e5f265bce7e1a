"""How the provider knows who asks: by a secret, a signature, or the connection."""

from base64 import b64decode

import pytest
from joserfc import jwt

from sidecar.adapters.client_authentication import (
    AssertionRules,
    NoCredential,
    by_assertion,
    by_basic,
    by_certificate,
    by_post,
    read_private_key,
)
from tests.fakes.clock import FakeClock
from tests.fakes.tokens import SigningKey, ec_key, ed25519_key, rsa_key

ISSUER = "https://idp.example"


def pem(key: SigningKey, *, private: bool = True) -> str:
    return key.private.as_pem(private=private).decode()


async def test_both_halves_of_basic_are_encoded_first() -> None:
    """RFC 6749, 2.3.1: else a colon in the id would move into the secret."""
    proof = await by_basic("my:client", lambda: "a secret/ü")()

    text = b64decode(proof.headers["Authorization"].removeprefix("Basic ")).decode()
    assert text == "my%3Aclient:a+secret%2F%C3%BC"
    assert proof.form == {}
    assert "secret" not in repr(proof)


async def test_a_posted_secret_is_read_anew_each_time() -> None:
    secrets = ["second", "first"]
    prove = by_post("me", secrets.pop)

    forms = [(await prove()).form for _ in range(2)]

    assert [form["client_secret"] for form in forms] == ["first", "second"]
    assert forms[0]["client_id"] == "me"


async def test_a_certificate_goes_with_the_clients_name_alone() -> None:
    """RFC 8705, 2: "the client MUST include the client_id"."""
    proof = await by_certificate("me")()

    assert (proof.form, proof.headers) == ({"client_id": "me"}, {})


@pytest.mark.parametrize(
    "key", [rsa_key(), rsa_key("ps", "PS256"), ec_key(), ed25519_key()], ids=lambda k: k.algorithm
)
async def test_an_assertion_is_signed_anew_for_each_question(key: SigningKey) -> None:
    """RFC 7523, 3; and a server may take each jti once only."""
    rules = AssertionRules("me", ISSUER, key.algorithm, "ours")
    prove = by_assertion(rules, lambda: pem(key), FakeClock(1_700_000_000.0))

    forms = [(await prove()).form for _ in range(2)]

    tokens = [
        jwt.decode(form["client_assertion"], key.public, algorithms=[key.algorithm])
        for form in forms
    ]
    assert tokens[0].header == {"alg": key.algorithm, "kid": "ours", "typ": "JWT"}
    claims = tokens[0].claims
    assert (claims["iss"], claims["sub"], claims["aud"]) == ("me", "me", ISSUER)
    assert (claims["iat"], claims["exp"]) == (1_700_000_000, 1_700_000_060)
    assert claims["jti"] != tokens[1].claims["jti"]
    assert forms[0]["client_assertion_type"].endswith(":client-assertion-type:jwt-bearer")


async def test_without_a_name_for_the_key_none_is_sent() -> None:
    rules = AssertionRules("me", ISSUER, "ES256")
    proof = await by_assertion(rules, lambda: pem(ec_key()), FakeClock())()

    token = jwt.decode(proof.form["client_assertion"], ec_key().public, algorithms=["ES256"])
    assert "kid" not in token.header


@pytest.mark.parametrize(
    ("text", "algorithm"),
    [
        (pem(rsa_key()), "ES256"),
        (pem(ec_key()), "Ed25519"),
        (pem(ec_key()), "PS256"),
        (pem(rsa_key(), private=False), "RS256"),
        (pem(ec_key("k", "ES384")), "ES256"),
        ("no key", "RS256"),
        ("", "Ed25519"),
    ],
)
async def test_a_key_that_cannot_sign_is_told_without_its_text(text: str, algorithm: str) -> None:
    prove = by_assertion(AssertionRules("me", ISSUER, algorithm), lambda: text, FakeClock())

    with pytest.raises(NoCredential) as failed:
        await prove()

    assert text[:40] not in str(failed.value) or not text


def test_a_public_key_is_found_out_before_it_is_needed() -> None:
    with pytest.raises(ValueError, match="the private one is needed"):
        read_private_key(pem(rsa_key(), private=False), "RS256")
    with pytest.raises(ValueError, match="for ES256"):
        read_private_key(pem(rsa_key()), "ES256")


async def test_a_file_that_went_is_told_without_its_content() -> None:
    def read() -> str:
        raise FileNotFoundError(2, "No such file", "secret-place")

    for prove in (
        by_basic("me", read),
        by_post("me", read),
        by_assertion(AssertionRules("me", ISSUER, "ES256"), read, FakeClock()),
    ):
        with pytest.raises(NoCredential, match="FileNotFoundError") as failed:
            await prove()
        assert "secret-place" not in str(failed.value)
