"""ML-DSA: what the key has signed, and nothing else, verifies (RFC 9964, FIPS 204)."""

import hashlib
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.core.bearer import BearerToken
from sidecar.core.decision import Denied, DenyReason
from sidecar.core.issuer import ASYMMETRIC_ALGORITHMS, Issuer
from sidecar.core.mldsa import SIGNATURE_OCTETS, MLDSAKey
from sidecar.core.token import (
    VerificationKeys,
    VerifiedToken,
    read_token,
    verify_signature,
)
from tests.fakes.tokens import AnyKey, ec_key, encode, key_set, mldsa_key, seal

NAMES = sorted(SIGNATURE_OCTETS)
ISSUER = Issuer("https://idp.example", algorithms=ASYMMETRIC_ALGORITHMS)
CLAIMS = {"iss": ISSUER.name, "sub": "robot"}
KEYS = VerificationKeys(key_set([*(mldsa_key(name, name) for name in NAMES), ec_key()]), 1)


def token(name: str, *, key: AnyKey | None = None, kid: str | None = None) -> str:
    return seal({"alg": name, "kid": kid or name}, CLAIMS, key or mldsa_key(name, name))


def verdict(compact: str, keys: VerificationKeys = KEYS) -> DenyReason | None:
    try:
        verified = verify_signature(read_token(BearerToken(compact)), keys, ISSUER)
    except Denied as denied:
        return denied.reason
    assert isinstance(verified, VerifiedToken)
    return None


@pytest.mark.parametrize("name", NAMES)
def test_a_signature_of_each_parameter_set_verifies(name: str) -> None:
    compact = token(name)

    assert verdict(compact) is None
    assert len(mldsa_key(name, name).sign(b"x")) == SIGNATURE_OCTETS[name]


@pytest.mark.parametrize("name", NAMES)
def test_a_signature_of_another_key_is_bad(name: str) -> None:
    assert verdict(token(name, key=mldsa_key("forger", name))) is DenyReason.BAD_SIGNATURE


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("other", NAMES)
def test_a_key_is_for_one_parameter_set(name: str, other: str) -> None:
    """Neither the token's word nor the signature's kind moves a key to another algorithm."""
    if name == other:
        return
    assert verdict(token(name, kid=other)) is DenyReason.UNKNOWN_KEY
    assert verdict(token(name, key=mldsa_key(other, other))) is DenyReason.BAD_SIGNATURE


@pytest.mark.parametrize("name", NAMES)
def test_a_signature_that_is_cut_or_longer_is_bad(name: str) -> None:
    message, _, signature = token(name).rpartition(".")
    octets = mldsa_key(name, name).sign(message.encode())

    assert len(encode(octets)) == len(signature)
    for changed in (octets[:-1], octets + b"\0", octets[1:], octets[:64], b"\0" * len(octets)):
        assert verdict(f"{message}.{encode(changed)}") is DenyReason.BAD_SIGNATURE
    assert verdict(f"{message}.") is DenyReason.TOKEN_UNREADABLE


@pytest.mark.parametrize("name", NAMES)
def test_changed_claims_are_not_what_was_signed(name: str) -> None:
    header, _, signature = token(name).split(".")

    forged = f"{header}.{encode({**CLAIMS, 'sub': 'admin'})}.{signature}"

    assert verdict(forged) is DenyReason.BAD_SIGNATURE


def test_a_signature_of_another_kind_is_no_signature_of_this_one() -> None:
    assert verdict(token("ML-DSA-44", key=ec_key())) is DenyReason.BAD_SIGNATURE
    assert verdict(token("ES256", key=mldsa_key(), kid="ec")) is DenyReason.BAD_SIGNATURE


def test_an_issuer_that_does_not_list_the_algorithm_does_not_take_it() -> None:
    classic = Issuer(ISSUER.name, algorithms=frozenset({"ES256"}))

    with pytest.raises(Denied) as denied:
        verify_signature(read_token(BearerToken(token("ML-DSA-65"))), KEYS, classic)

    assert denied.value.reason is DenyReason.ALGORITHM_REFUSED


def test_octets_of_a_wrong_number_are_no_key() -> None:
    with pytest.raises(ValueError, match="1312"):
        MLDSAKey.import_octets("ML-DSA-44", b"\0" * 32)
    with pytest.raises(KeyError):
        MLDSAKey.import_octets("ML-DSA-00", b"\0" * 1312)


@given(st.data())
@settings(max_examples=25)
def test_no_changed_octet_of_a_signature_goes_unnoticed(data: st.DataObject) -> None:
    key = mldsa_key("ML-DSA-44", "ML-DSA-44")
    signature = bytearray(key.sign(b"message"))
    at = data.draw(st.integers(0, len(signature) - 1))
    signature[at] ^= data.draw(st.integers(1, 255))

    assert key.public.has_signed(b"message", key.sign(b"message"))
    assert not key.public.has_signed(b"message", bytes(signature))


def test_a_thumbprint_is_over_what_the_key_cannot_do_without() -> None:
    """RFC 7638, 3; RFC 9964: alg, kty and pub."""
    key = mldsa_key()
    members = {name: key.jwk()[name] for name in ("alg", "kty", "pub")}
    canonical = json.dumps(members, separators=(",", ":"), sort_keys=True)

    assert key.public.thumbprint() == encode(hashlib.sha256(canonical.encode()).digest())
    assert key.public.thumbprint() != mldsa_key("another").public.thumbprint()
