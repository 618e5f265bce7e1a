"""Key sets as providers publish them, and as attackers would."""

import json
from base64 import urlsafe_b64encode
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.adapters.jwks import KeySet, NoUsableKeys, read_key_set
from sidecar.core import public_key
from sidecar.core.bearer import BearerToken
from sidecar.core.issuer import ASYMMETRIC_ALGORITHMS, Issuer
from sidecar.core.mldsa import MLDSAKey
from sidecar.core.token import VerificationKeys, read_token, verify_signature
from tests.fakes.tokens import SigningKey, ec_key, ed25519_key, mldsa_key, rsa_key, seal

ISSUER = Issuer("https://idp.example", algorithms=ASYMMETRIC_ALGORITHMS)


def member(key: SigningKey, **changed: Any) -> dict[str, Any]:
    members = {**key.public.as_dict(private=False), "kid": key.kid, **changed}
    return {name: value for name, value in members.items() if value is not None}


def read(*keys: Any, issuer: Issuer = ISSUER, max_keys: int = 64) -> KeySet:
    return read_key_set(json.dumps({"keys": keys}).encode(), issuer, max_keys)


def left_out(key: Any) -> str:
    """Return why the key beside a good one was left out."""
    found = read(key, member(ec_key("good")))
    assert list(found.by_kid) == ["good"]
    assert len(found.left_out) == 1
    return found.left_out[0]


def test_each_kind_of_key_verifies_its_own_algorithms() -> None:
    found = read(
        member(rsa_key()),
        member(ec_key("p256")),
        member(ec_key("p384", "ES384")),
        member(ec_key("p521", "ES512")),
        member(ed25519_key()),
    )

    assert {kid: keys[0].algorithms for kid, keys in found.by_kid.items()} == {
        "rsa": {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"},
        "p256": {"ES256"},
        "p384": {"ES384"},
        "p521": {"ES512"},
        "ed": {"Ed25519", "EdDSA"},
    }
    assert not found.left_out
    assert len(found) == 5


def test_a_key_with_an_alg_is_for_that_one_alone() -> None:
    found = read(member(rsa_key(), alg="PS256"), member(ed25519_key(), alg="EdDSA"))

    assert found.by_kid["rsa"][0].algorithms == {"PS256"}
    assert found.by_kid["ed"][0].algorithms == {"Ed25519", "EdDSA"}


@pytest.mark.parametrize("key_says", ["EdDSA", "Ed25519", None])
@pytest.mark.parametrize("token_says", ["EdDSA", "Ed25519"])
def test_an_ed25519_key_and_its_token_may_use_either_name(
    key_says: str | None, token_says: str
) -> None:
    """RFC 9864: providers rename the two at different times."""
    found = read(member(ed25519_key(), alg=key_says))
    token = seal({"alg": token_says, "kid": "ed"}, {"iss": ISSUER.name}, ed25519_key())

    verified = verify_signature(
        read_token(BearerToken(token)), VerificationKeys(found.by_kid, 1), ISSUER
    )

    assert verified.issuer == ISSUER.name


@pytest.mark.parametrize(
    "careless",
    [
        {"use": "sig", "key_ops": ["verify", "wrapKey"]},
        {"key_ops": ["verify", "sign"]},
        {"x5c": "none", "x5t": None, "x5u": 7},
        {"jku": "https://evil.example/jwks", "ext": True},
    ],
    ids=str,
)
def test_members_that_we_do_not_need_spoil_no_key(careless: dict[str, Any]) -> None:
    assert not read(member(rsa_key(), **careless)).left_out


def test_a_key_verifies_only_what_the_issuer_signs_with() -> None:
    found = read(member(rsa_key()), issuer=Issuer("i", algorithms=frozenset({"RS256"})))

    assert found.by_kid["rsa"][0].algorithms == {"RS256"}


def test_keys_may_share_a_kid_or_have_none() -> None:
    found = read(
        member(rsa_key(), kid="a"), member(ec_key(), kid="a"), member(ed25519_key(), kid=None)
    )

    assert {kid: len(keys) for kid, keys in found.by_kid.items()} == {"a": 2, "": 1}


UNFIT = [
    None,
    "text",
    {},
    {"kty": "oct", "k": "c2VjcmV0", "kid": "a"},
    {"kty": "AKP", "alg": "ML-DSA-65", "pub": "AAAA"},
    {"kty": ["RSA"]},
    {"kty": "RSA", "n": "AQAB"},
    {"kty": "RSA", "n": 5, "e": []},
    {"kty": "RSA", "n": "!", "e": "AQAB"},
    {"kty": "EC", "crv": "secp256k1", "x": "AA", "y": "AA"},
    {"kty": "EC", "crv": ["P-256"]},
    {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"},
    {"kty": "OKP", "crv": "X25519", "x": "A" * 43},
    {"kty": "OKP", "crv": "Ed25519", "x": "AA"},
    {"kty": "OKP", "crv": "Ed448", "x": "A" * 76},
    member(rsa_key(), use="enc"),
    member(rsa_key(), key_ops=["encrypt"]),
    member(rsa_key(), key_ops="verify"),
    member(rsa_key(), alg="ES256"),
    member(rsa_key(), alg="HS256"),
    member(rsa_key(), alg=["RS256"]),
    member(rsa_key(), alg=7),
    member(rsa_key(), kid=7),
    member(rsa_key(), kid="k" * 300),
]


@pytest.mark.parametrize("key", UNFIT, ids=range(len(UNFIT)))
def test_a_key_that_cannot_verify_is_left_out_and_the_others_go_on(key: Any) -> None:
    """K9, J3, J4; RFC 7517, 5."""
    assert left_out(key).startswith("key 0:")


def test_a_private_key_is_used_by_its_public_half_and_told() -> None:
    private = {**rsa_key().private.as_dict(private=True), "kid": "rsa"}

    found = read(private)

    assert "private half" in found.left_out[0]
    assert found.fingerprint == read(member(rsa_key())).fingerprint
    key = found.by_kid["rsa"][0].key
    assert not isinstance(key, MLDSAKey)
    assert key.is_private is False


def number(value: int) -> str:
    octets = value.to_bytes((value.bit_length() + 7) // 8, "big")
    return urlsafe_b64encode(octets).rstrip(b"=").decode()


@pytest.mark.parametrize(
    ("modulus", "exponent", "says"),
    [
        (2**1023 + 1, 65537, "2048"),
        (2**2047, 65537, "2048"),
        (2**8200 + 1, 65537, "2048"),
        (2**2047 + 1, 1, "exponent"),
        (2**2047 + 1, 65538, "exponent"),
        (2**2047 + 1, 2**33 + 1, "exponent"),
    ],
    ids=["1024 bits", "even", "8201 bits", "e of 1", "even e", "huge e"],
)
def test_a_weak_rsa_key_is_left_out(modulus: int, exponent: int, says: str) -> None:
    """J20: joserfc takes them."""
    key = {"kty": "RSA", "kid": "weak", "n": number(modulus), "e": number(exponent)}

    assert says in left_out(key)


@pytest.mark.parametrize("name", ["n", "e"])
def test_a_number_as_long_as_a_document_is_not_even_computed(name: str) -> None:
    assert "too long" in left_out({**member(rsa_key()), name: "_" * 4097})


def test_a_key_with_the_roca_fingerprint_is_left_out() -> None:
    """CVE-2017-15361: p = k * M + (65537^a mod M), M being the product of the first primes."""
    product = 1
    for prime in (2, *public_key._ROCA_PRIMES):
        product *= prime
    p, q = (11 * product + pow(65537, power, product) for power in (17, 23))
    modulus = p * q
    while modulus.bit_length() < 2048:
        modulus *= 65537
    key = {"kty": "RSA", "kid": "roca", "n": number(modulus), "e": "AQAB"}

    assert "ROCA" in left_out(key)


def test_no_honest_key_has_the_roca_fingerprint() -> None:
    for name in range(3):
        assert read(member(rsa_key(f"honest-{name}")))


def _order_divides_eight(y: int) -> bool:
    """Compute 8 * P on edwards25519 (RFC 8032, 5.1.4) in plain arithmetic."""
    prime = 2**255 - 19
    y %= prime
    d = -121665 * pow(121666, -1, prime) % prime
    square = (y * y - 1) * pow(d * y * y + 1, -1, prime) % prime
    x = pow(square, (prime + 3) // 8, prime)
    if (x * x - square) % prime:
        x = x * pow(2, (prime - 1) // 4, prime) % prime
    assert (x * x - square) % prime == 0, "no point of the curve"
    for _ in range(3):
        product = d * x * x * y * y % prime
        x, y = (
            2 * x * y * pow(1 + product, -1, prime) % prime,
            (y * y + x * x) * pow(1 - product, -1, prime) % prime,
        )
    return (x, y) == (0, 1)


@pytest.mark.parametrize("y", sorted(public_key._SMALL_ORDER), ids=hex)
@pytest.mark.parametrize("sign", [0, 1])
def test_a_point_of_small_order_is_no_key(y: int, sign: int) -> None:
    """J19: with such a "key" a signature verifies that nobody made."""
    assert _order_divides_eight(y)
    octets = (y | sign << 255).to_bytes(32, "little")
    x = urlsafe_b64encode(octets).rstrip(b"=").decode()

    assert left_out({"kty": "OKP", "crv": "Ed25519", "kid": "small", "x": x})


@pytest.mark.parametrize("y", range(2**255 - 19, 2**255))
@pytest.mark.parametrize("sign", [0, 1])
def test_a_point_that_is_not_canonically_encoded_is_no_key(y: int, sign: int) -> None:
    """J19: among them second spellings of the points of small order."""
    octets = (y | sign << 255).to_bytes(32, "little")
    x = urlsafe_b64encode(octets).rstrip(b"=").decode()

    assert left_out({"kty": "OKP", "crv": "Ed25519", "kid": "spelled", "x": x})


def test_an_honest_ed25519_key_is_of_large_order() -> None:
    for _ in range(8):
        raw = Ed25519PrivateKey.generate().public_key()
        octets = raw.public_bytes(Encoding.Raw, PublicFormat.Raw)
        assert not _order_divides_eight(int.from_bytes(octets, "little") & (2**255 - 1))
        x = urlsafe_b64encode(octets).rstrip(b"=").decode()
        assert len(read({"kty": "OKP", "crv": "Ed25519", "kid": "ok", "x": x})) == 1


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"<html>",
        b"{}",
        b"[]",
        b'{"keys":{}}',
        b'{"keys":[]}',
        b'{"keys":null}',
        b'{"keys":[],"keys":[]}',
        b'{"keys":' + b"[" * 5000 + b"]" * 5000 + b"}",
        b'{"keys":[{"kty":"oct","k":"AA"}]}',
        b"\xff\xfe",
    ],
    ids=lambda document: repr(document[:24]),
)
def test_what_holds_no_usable_key_is_refused_whole(document: bytes) -> None:
    """K5: it must never replace good keys."""
    with pytest.raises(NoUsableKeys):
        read_key_set(document, ISSUER, 64)


def test_a_set_beyond_its_bound_is_refused_whole() -> None:
    with pytest.raises(NoUsableKeys):
        read(*[member(ec_key(), kid=str(each)) for each in range(5)], max_keys=4)


def test_the_fingerprint_is_of_the_keys_and_not_of_the_text() -> None:
    a, b = member(rsa_key()), member(ec_key())

    assert read(a, b).fingerprint == read({**b, "x-note": 1}, a).fingerprint
    assert read(a, b).fingerprint != read(a).fingerprint
    assert read(a).fingerprint != read(member(rsa_key(), kid="other")).fingerprint
    assert read(a).fingerprint != read(member(rsa_key(), alg="RS256")).fingerprint


# A machine that is shared keeps no deadline.
HOSTILE = settings(derandomize=True, deadline=None)
MEMBERS = st.dictionaries(
    st.sampled_from(["kty", "kid", "use", "key_ops", "alg", "n", "e", "crv", "x", "y", "d", "k"]),
    st.sampled_from(["RSA", "EC", "OKP", "oct", "P-256", "Ed25519", "AQAB", "sig", "RS256", "!"])
    | st.integers()
    | st.none()
    | st.lists(st.text(max_size=3), max_size=2),
    max_size=8,
)


@HOSTILE
@given(st.lists(MEMBERS | st.text(max_size=5) | st.integers(), max_size=5))
def test_any_members_are_read_or_left_out(keys: list[Any]) -> None:
    found = read(*keys, member(ec_key("good")))

    assert "good" in found.by_kid


@HOSTILE
@given(st.binary(max_size=100))
def test_any_octets_are_a_key_set_or_refused(document: bytes) -> None:
    with pytest.raises(NoUsableKeys):
        read_key_set(document, ISSUER, 64)


@pytest.mark.parametrize("algorithm", ["ML-DSA-44", "ML-DSA-65", "ML-DSA-87"])
def test_a_post_quantum_key_verifies_the_algorithm_that_it_names(algorithm: str) -> None:
    key = mldsa_key("pq", algorithm)
    found = read(key.jwk())
    token = seal({"alg": algorithm, "kid": "pq"}, {"iss": ISSUER.name}, key)

    keys = VerificationKeys(found.by_kid, 1)
    assert verify_signature(read_token(BearerToken(token)), keys, ISSUER).issuer == ISSUER.name
    assert found.by_kid["pq"][0].algorithms == {algorithm}
    assert found.fingerprint != read(mldsa_key("another", algorithm).jwk(kid="pq")).fingerprint


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"alg": None}, "fits none"),
        ({"alg": "ML-DSA-00"}, "fits none"),
        ({"alg": "ES256"}, "fits none"),
        ({"alg": "ML-DSA-65"}, "cannot be read"),
        ({"pub": None}, "cannot be read"),
        ({"pub": ""}, "is zero"),
        ({"pub": 7}, "cannot be read"),
        ({"pub": "____" * 300}, "cannot be read"),
        ({"pub": "_" * 40 + "A" * 1710}, "is zero: anybody could sign"),
        ({"pub": mldsa_key().jwk()["pub"] + "=="}, "cannot be read"),
        ({"use": "enc"}, "not for signatures"),
    ],
)
def test_a_post_quantum_key_that_is_wrong_is_left_out(changed: dict[str, Any], says: str) -> None:
    assert says in left_out(mldsa_key().jwk(**changed))


def test_a_published_seed_is_told() -> None:
    found = read(mldsa_key().jwk(priv="AAAA"))

    assert "its private half is published" in found.left_out[0]
    assert list(found.by_kid) == ["pq"]
