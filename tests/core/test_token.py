"""The token: read strictly, then its signature verified (J1 to J9, J15 to J18)."""

import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from hypothesis import given, settings
from hypothesis import strategies as st
from joserfc.errors import UnsupportedAlgorithmError
from joserfc.util import urlsafe_b64decode

from sidecar.core.bearer import BearerToken
from sidecar.core.decision import Denied, DenyReason
from sidecar.core.issuer import Issuer
from sidecar.core.token import (
    MAX_KEYS_TRIED,
    MAX_KID_LENGTH,
    UnverifiedToken,
    VerificationKey,
    VerificationKeys,
    VerifiedToken,
    _known_header,
    _registry,
    check_header,
    match_keys,
    read_token,
    verify_signature,
)
from tests.fakes.tokens import SigningKey, ec_key, ed25519_key, encode, key_set, rsa_key, seal

R = DenyReason
ISSUER = Issuer(
    "https://idp.example",
    algorithms=frozenset(
        {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}
        | {"ES256", "ES384", "ES512", "Ed25519", "EdDSA"}
    ),
)
CLAIMS = {"iss": ISSUER.name, "sub": "robot"}
RSA = rsa_key()
KEYS = VerificationKeys(key_set([RSA, ec_key(), ed25519_key()]), 7)


def signed(
    key: SigningKey = RSA,
    /,
    *,
    claims: Mapping[str, Any] | str | bytes = CLAIMS,
    **header: Any,
) -> BearerToken:
    members = {"alg": key.algorithm, "kid": key.kid, **header}
    return BearerToken(seal(members, claims, key))


def named(value: SigningKey | str) -> str:
    return value if isinstance(value, str) else value.kid


def read_refused(token: str) -> str:
    with pytest.raises(Denied) as denied:
        read_token(BearerToken(token))
    assert denied.value.reason is R.TOKEN_UNREADABLE
    assert len(denied.value.detail) < 80
    return denied.value.detail


def verdict(
    token: str, keys: VerificationKeys = KEYS, issuer: Issuer = ISSUER
) -> DenyReason | VerifiedToken:
    try:
        return verify_signature(read_token(BearerToken(token)), keys, issuer)
    except Denied as denied:
        return denied.reason


def test_a_good_token_is_verified_with_its_hints_and_claims() -> None:
    unverified = read_token(signed(typ="at+jwt"))
    verified = verify_signature(unverified, KEYS, ISSUER)

    assert (unverified.issuer, unverified.algorithm, unverified.kid) == (
        ISSUER.name,
        "RS256",
        "rsa",
    )
    assert verified == VerifiedToken(ISSUER.name, "at+jwt", CLAIMS, 7)


@pytest.mark.parametrize(
    "key",
    [
        *(rsa_key(name, name) for name in ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")),
        *(ec_key(name, name) for name in ("ES256", "ES384", "ES512")),
        *(ed25519_key(name, name) for name in ("Ed25519", "EdDSA")),
    ],
    ids=lambda key: key.algorithm,
)
def test_every_asymmetric_algorithm_verifies(key: SigningKey) -> None:
    keys = VerificationKeys(key_set([key]), 1)

    assert isinstance(verdict(signed(key), keys), VerifiedToken)
    assert verdict(signed(replace(key, private=RSA.private, algorithm="RS256")), keys) is (
        R.BAD_SIGNATURE if key.algorithm == "RS256" else R.UNKNOWN_KEY
    )


@pytest.mark.parametrize(
    "token",
    ["", ".", "..", "...", "a", "a.b", "a.b.c.d", "a.b.c.d.e", ".b.c", "a..c", "a.b.", "hpk_0123"],
)
def test_only_three_full_segments_are_a_token(token: str) -> None:
    """Five are a JWE: no decryption, no inflating, no PBES2 is ever reached (J8)."""
    assert read_refused(token) == "not three non-empty segments"


def test_no_second_spelling_of_a_token_is_read() -> None:
    """Padding malleability was a revocation bypass (GHSA-5jhw-7jv7-qcqq)."""
    header, claims, signature = signed(claims={**CLAIMS, "pad": "x"}).split(".")
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    tail = alphabet[alphabet.index(signature[-1]) ^ 1]
    standard = signature.replace("-", "+").replace("_", "/")
    for variant in (
        f"{header}=.{claims}.{signature}",
        f"{header}.{claims}=.{signature}",
        f"{header}.{claims}.{signature}=",
        f"{header}.{claims}.{signature}==",
        f"{header}.{claims}.{signature[:-1]}{tail}",
        f"{header}.{claims}.{standard}" if standard != signature else f"{header}.{claims}.+",
        f"{header}.{claims}.{signature}~",
        f"{header}~.{claims}.{signature}",
    ):
        assert read_refused(variant) == "not canonical base64url"


@pytest.mark.parametrize("name", ["crit", "b64", "zip", "enc", "cty", "jwk", "jku", "x5c", "x5u"])
@pytest.mark.parametrize("value", [None, [], ["exp"], ["b64"], False, "DEF", {"kty": "RSA"}, "JWT"])
def test_a_parameter_that_changes_trust_is_refused(name: str, value: object) -> None:
    token = seal({"alg": "RS256", "kid": "rsa", name: value}, CLAIMS, RSA)

    assert read_refused(token) == f"header parameter {name}"


def test_an_unheard_of_parameter_is_ignored() -> None:
    """Entra signs ``nonce`` and ``x5t`` into the header of its tokens."""
    token = signed(nonce="x", x5t="abc", rh="0." + "A" * 700)

    assert isinstance(verdict(token), VerifiedToken)


@pytest.mark.parametrize(
    "header",
    [
        '{"alg":"RS256","alg":"none","kid":"rsa"}',
        '{"alg":"none","alg":"RS256","kid":"rsa"}',
        '{"alg":"RS256","kid":"rsa","kid":"x"}',
        '{"alg":"RS256","kid":"rsa","\\u0061lg":"RS256"}',
        "\ufeff" + json.dumps({"alg": "RS256", "kid": "rsa"}),
        "[]",
        '"RS256"',
        "not json",
        '{"alg":"RS256","kid":"rsa","x":NaN}',
        '{"alg":["RS256"],"kid":"rsa"}',
        '{"alg":null,"kid":"rsa"}',
        '{"alg":"RS256","kid":7}',
        '{"alg":"RS256","kid":null}',
        '{"alg":"RS256","kid":["rsa"]}',
        '{"alg":"RS256","kid":""}',
        '{"alg":"RS256","kid":"a\\u0000b"}',
        '{"alg":"RS256","kid":"a\\r\\nb"}',
        '{"alg":"RS256","kid":"\\ud800"}',
        '{"alg":"RS256","kid":"rsa","typ":1}',
        '{"alg":"RS256","kid":"rsa","typ":null}',
        '{"alg":"RS256","kid":"rsa","x":' + "[" * 40_000 + "]" * 40_000 + "}",
    ],
    ids=lambda text: text[:40],
)
def test_a_header_that_readers_disagree_on_is_refused(header: str) -> None:
    read_refused(seal(header, CLAIMS, RSA))


@pytest.mark.parametrize(
    "claims",
    [
        b"\xef\xbb\xbf" + json.dumps(CLAIMS).encode(),
        json.dumps(CLAIMS).encode("utf-16"),
        b'{"iss":"a","iss":"b"}',
        b'{"iss":["https://idp.example"]}',
        b'{"iss":null}',
        b'{"iss":7}',
        b'{"exp":Infinity}',
        b'{"exp":' + b"1" * 5000 + b"}",
        b'{"a":' * 40_000 + b"1" + b"}" * 40_000,
        b"null",
        b"\xff",
    ],
    ids=lambda text: repr(text[:24]),
)
def test_claims_that_readers_disagree_on_are_refused(claims: bytes) -> None:
    read_refused(signed(claims=claims))


def test_a_token_without_issuer_names_none() -> None:
    assert read_token(signed(claims={"sub": "x"})).issuer == ""


@pytest.mark.parametrize("size", [1, MAX_KID_LENGTH - 1, MAX_KID_LENGTH])
def test_a_kid_up_to_the_limit_is_read(size: int) -> None:
    assert read_token(signed(kid="k" * size)).kid == "k" * size


@pytest.mark.parametrize("size", [MAX_KID_LENGTH + 1, 10_000])
def test_a_kid_over_the_limit_is_refused(size: int) -> None:
    assert read_refused(signed(kid="k" * size)) == "kid is empty or too long"


@pytest.mark.parametrize(
    "kid",
    ["../../dev/null", "' OR 1=1 --", "https://evil.example/key", "rsa ", "RSA", "*", "r\u0455a"],
)
def test_a_hostile_kid_is_an_unknown_key(kid: str) -> None:
    assert verdict(signed(kid=kid)) is R.UNKNOWN_KEY


SPELLINGS = ["none", "None", "NONE", "nOnE", "noNe", "none ", " none", "n\u043ene"]


@pytest.mark.parametrize(
    "algorithm", [*SPELLINGS, "", "HS256", "HS384", "HS512", "rs256", "ES256K"]
)
def test_an_algorithm_off_the_list_is_refused(algorithm: str) -> None:
    assert verdict(signed(alg=algorithm)) is R.ALGORITHM_REFUSED


def test_a_missing_algorithm_is_refused() -> None:
    assert verdict(seal({"kid": "rsa"}, CLAIMS, RSA)) is R.ALGORITHM_REFUSED


@pytest.mark.parametrize("algorithm", SPELLINGS)
def test_no_signature_is_no_token(algorithm: str) -> None:
    read_refused(f"{encode({'alg': algorithm, 'kid': 'rsa'})}.{encode(CLAIMS)}.")


def test_even_an_issuer_that_lists_none_verifies_nothing_with_it() -> None:
    """Settings refuse it; a key can never be one for ``none`` or for a shared secret."""
    careless = replace(ISSUER, algorithms=frozenset({"none", "HS256"}))

    assert verdict(signed(alg="none"), issuer=careless) is R.UNKNOWN_KEY
    assert verdict(signed(alg="HS256"), issuer=careless) is R.UNKNOWN_KEY


def public_key_encodings() -> list[bytes]:
    """Return what an attacker may take for the secret: the public key in six forms."""
    public = rsa_key().public
    pem = public.as_pem(private=False)
    members = public.as_dict(private=False)
    return [
        pem,
        pem.strip(),
        public.as_der(private=False),
        json.dumps(members).encode(),
        str(members["n"]).encode(),
        urlsafe_b64decode(str(members["n"]).encode()),
    ]


@pytest.mark.parametrize("secret", public_key_encodings(), ids=range(6))
@pytest.mark.parametrize(
    ("algorithm", "digest"),
    [("HS256", hashlib.sha256), ("HS384", hashlib.sha384), ("HS512", hashlib.sha512)],
)
def test_the_public_key_is_no_shared_secret(algorithm: str, digest: Any, secret: bytes) -> None:
    """CVE-2022-29217, CVE-2024-33663, CVE-2026-48526."""
    message = f"{encode({'alg': algorithm, 'kid': 'rsa'})}.{encode(CLAIMS)}"
    forged = f"{message}.{encode(hmac.new(secret, message.encode(), digest).digest())}"
    careless = replace(ISSUER, algorithms=ISSUER.algorithms | {algorithm})
    anything = VerificationKeys({"rsa": (rsa_key().verification_key(algorithm),)}, 1)

    assert verdict(forged) is R.ALGORITHM_REFUSED
    assert verdict(forged, anything, careless) is R.BAD_SIGNATURE


@pytest.mark.parametrize(
    ("key", "algorithm"),
    [
        (rsa_key(), "PS256"),
        (rsa_key(), "RS512"),
        (rsa_key(), "ES256"),
        (ec_key(), "ES384"),
        (ec_key(), "RS256"),
        (ed25519_key(), "EdDSA"),
        (ed25519_key(), "ES256"),
    ],
    ids=named,
)
def test_a_key_verifies_only_its_own_algorithm(key: SigningKey, algorithm: str) -> None:
    """CVE-2026-48523: ``alg`` is the key's to say, not the token's."""
    assert verdict(signed(key, alg=algorithm)) is R.UNKNOWN_KEY


@pytest.mark.parametrize(
    ("key", "algorithm"),
    [(rsa_key(), "PS256"), (ec_key(), "ES384"), (ed25519_key(), "RS256"), (rsa_key(), "Ed25519")],
    ids=named,
)
def test_a_key_of_the_wrong_type_never_verifies(key: SigningKey, algorithm: str) -> None:
    """Even where a key source were to say so."""
    keys = VerificationKeys({key.kid: (key.verification_key(algorithm),)}, 1)

    assert verdict(signed(key, alg=algorithm), keys) is R.BAD_SIGNATURE


@pytest.mark.parametrize("size", [0, 1, 62, 63, 65, 66, 96, 128, 16_000])
def test_an_es256_signature_has_64_octets(size: int) -> None:
    """HAProxy overran its heap on a longer one; the size is judged before the curve is."""
    head = signed(ec_key()).rsplit(".", 1)[0]
    expected = R.TOKEN_UNREADABLE if size == 0 else R.BAD_SIGNATURE

    assert verdict(f"{head}.{encode(bytes([1]) * size)}") is expected


def es256(r: int, s: int) -> str:
    head = signed(ec_key()).rsplit(".", 1)[0]
    return f"{head}.{encode(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"


N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


@pytest.mark.parametrize(
    ("r", "s"), [(0, 0), (0, 1), (1, 0), (N, N), (N, 1), (1, N), (N + 1, N + 1), (1, 1)]
)
def test_psychic_signatures_are_refused(r: int, s: int) -> None:
    """CVE-2022-21449: zero is no point, and neither is the order of the group."""
    assert verdict(es256(r, s)) is R.BAD_SIGNATURE


def test_a_der_signature_is_refused() -> None:
    """RFC 7518, 3.4: R and S, concatenated; DER would be a second spelling."""
    head, _, signature = signed(ec_key()).rpartition(".")
    raw = urlsafe_b64decode(signature.encode())
    der = encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))

    assert verdict(f"{head}.{encode(der)}") is R.BAD_SIGNATURE


def test_more_octets_after_the_signature_are_refused() -> None:
    assert verdict(f"{signed()}A") is R.BAD_SIGNATURE
    assert verdict(f"{signed()}AA") is R.BAD_SIGNATURE


@pytest.mark.parametrize("key", [rsa_key(), ec_key(), ed25519_key()], ids=lambda key: key.kid)
@pytest.mark.parametrize("segment", [0, 1, 2])
def test_a_changed_token_is_refused(key: SigningKey, segment: int) -> None:
    parts = signed(key).split(".")
    replaced = [
        encode({"alg": key.algorithm, "kid": key.kid, "typ": "JWT"}),
        encode({**CLAIMS, "sub": "admin"}),
        encode(bytes(len(urlsafe_b64decode(parts[2].encode())))),
    ]
    parts[segment] = replaced[segment]

    assert verdict(".".join(parts)) is R.BAD_SIGNATURE


def test_a_strangers_signature_is_refused() -> None:
    stranger = replace(rsa_key("stranger"), kid="rsa")

    assert verdict(signed(stranger)) is R.BAD_SIGNATURE


def test_every_key_of_one_kid_is_tried() -> None:
    """RFC 7517, 4.5: a ``kid`` need not be unique; a reader that takes the first refuses some."""
    first, second = rsa_key("first"), rsa_key("second")
    keys = (first.verification_key(), second.verification_key())
    for by_kid in ({"shared": keys}, {"shared": keys[::-1]}):
        for key in (first, second):
            token = signed(replace(key, kid="shared"))
            assert isinstance(verdict(token, VerificationKeys(by_kid, 1)), VerifiedToken)


def test_a_token_without_kid_passes_only_where_it_is_optional() -> None:
    token = BearerToken(seal({"alg": "ES256"}, CLAIMS, ec_key()))
    lenient = replace(ISSUER, kid_optional=True)

    assert verdict(token) is R.TOKEN_UNREADABLE
    assert isinstance(verdict(token, issuer=lenient), VerifiedToken)
    stranger = BearerToken(seal({"alg": "ES256"}, CLAIMS, ec_key("stranger")))
    assert verdict(stranger, issuer=lenient) is R.BAD_SIGNATURE


def test_a_token_without_kid_costs_no_more_than_a_few_keys() -> None:
    """Whoever forges one would have each of a set's 64 keys tried."""
    others = [rsa_key(f"other {number}").verification_key() for number in range(MAX_KEYS_TRIED)]
    ours, lenient = ec_key(), replace(ISSUER, kid_optional=True)
    token = read_token(BearerToken(seal({"alg": "ES256"}, CLAIMS, ours)))
    by_kid = {str(number): (key,) for number, key in enumerate(others)}
    many = VerificationKeys({"mixed": tuple(others), "": (ours.verification_key(),) * 9}, 1)

    # Keys of another algorithm do not count: they are not tried.
    assert len(match_keys(token, many)) == MAX_KEYS_TRIED
    found = VerificationKeys({**by_kid, "last": (ours.verification_key(),)}, 1)
    assert isinstance(verify_signature(token, found, lenient), VerifiedToken)


def test_a_key_without_kid_serves_no_token_that_names_one() -> None:
    unnamed = VerificationKeys({"": (rsa_key().verification_key(),)}, 1)
    lenient = replace(ISSUER, kid_optional=True)
    nameless = BearerToken(seal({"alg": "RS256"}, CLAIMS, RSA))

    assert verdict(signed(), unnamed) is R.UNKNOWN_KEY
    assert isinstance(verdict(nameless, unnamed, lenient), VerifiedToken)


@pytest.mark.parametrize(
    ("typ", "verdict_then"),
    [
        ("JWT", None),
        ("jwt", None),
        ("at+jwt", None),
        ("AT+JWT", None),
        ("application/at+jwt", None),
        ("", R.TOKEN_UNREADABLE),
        ("dpop+jwt", R.TOKEN_UNREADABLE),
        ("logout+jwt", R.TOKEN_UNREADABLE),
        ("secevent+jwt", R.TOKEN_UNREADABLE),
        ("id_token", R.TOKEN_UNREADABLE),
        ("token-introspection+jwt", R.TOKEN_UNREADABLE),
        ("at+jwt ", R.TOKEN_UNREADABLE),
        ("\uff4awt", R.TOKEN_UNREADABLE),
    ],
)
def test_only_an_access_tokens_type_passes(typ: str, verdict_then: DenyReason | None) -> None:
    """RFC 8725, 3.11: proofs and logout tokens are signed by the same keys."""
    found = verdict(signed(typ=typ))

    assert (None if isinstance(found, VerifiedToken) else found) is verdict_then


def test_a_missing_type_passes_unless_one_is_required() -> None:
    strict = replace(ISSUER, type_required=True, token_types=frozenset({"at+jwt"}))

    assert isinstance(verdict(signed()), VerifiedToken)
    assert verdict(signed(), issuer=strict) is R.TOKEN_UNREADABLE
    assert verdict(signed(typ="JWT"), issuer=strict) is R.TOKEN_UNREADABLE
    assert isinstance(verdict(signed(typ="at+jwt"), issuer=strict), VerifiedToken)


def test_the_header_is_judged_before_any_key_is_touched() -> None:
    token = read_token(signed(alg="none"))
    with pytest.raises(Denied):
        check_header(token, ISSUER)


def test_keys_are_matched_by_kid_and_algorithm() -> None:
    token = read_token(signed())
    mixed = VerificationKeys(
        {"rsa": (ec_key().verification_key(), rsa_key().verification_key()), "other": ()}, 1
    )

    assert len(match_keys(token, mixed)) == 1
    assert match_keys(token, VerificationKeys({}, 1)) == ()


def test_a_registry_knows_one_algorithm_only() -> None:
    """The library takes an empty list for its own defaults, HS256 among them."""
    with pytest.raises(UnsupportedAlgorithmError):
        _registry("RS256").get_alg("HS256")
    empty = type(_registry("RS256"))(algorithms=[], strict_check_header=False)
    with pytest.raises(UnsupportedAlgorithmError):
        empty.get_alg("HS256")


def test_nothing_of_the_token_is_in_its_text_form() -> None:
    """A token in a log line is a leaked token; its claims may be personal."""
    token = signed(claims={**CLAIMS, "secret": "s3cret"})
    unverified = read_token(token)

    assert "s3cret" not in repr(unverified)
    assert "s3cret" not in repr(verify_signature(unverified, KEYS, ISSUER))
    assert not any(segment in repr(unverified) for segment in token.split("."))
    assert repr(unverified.signature) not in repr(unverified)


def test_a_header_parameter_of_another_type_than_registered_is_refused() -> None:
    """RFC 7515, 4.1.7: a thumbprint is text. The library looks, and so the token fails there."""
    assert verdict(signed(x5t=5)) is R.BAD_SIGNATURE


@settings(max_examples=200, derandomize=True, deadline=None)
@given(st.from_regex(r"[A-Za-z0-9_.=~+/-]{0,80}", fullmatch=True))
def test_any_text_is_a_token_or_refused(text: str) -> None:
    assert isinstance(verdict(text), DenyReason)


@settings(max_examples=200, derandomize=True, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from("ABab01-_.=+/~"))
def test_no_single_change_of_a_good_token_passes(place: int, octet: str) -> None:
    good = signed()
    place %= len(good)
    changed = good[:place] + octet + good[place + 1 :]

    assert (changed == good) == isinstance(verdict(changed), VerifiedToken)


def test_an_unverified_token_is_not_a_verified_one() -> None:
    """The types carry the proof: only ``verify_signature`` returns the stronger one."""
    assert not isinstance(read_token(signed()), VerifiedToken)
    assert not issubclass(UnverifiedToken, VerifiedToken)
    assert VerificationKey(RSA.public, frozenset()).algorithms == frozenset()


def test_a_header_that_was_read_before_is_read_alike_and_no_token_changes_it() -> None:
    """All tokens of a key share it; what one of them came to must not show in the next."""
    first = read_token(signed())
    before = dict(first.header)
    verify_signature(first, KEYS, ISSUER)
    with pytest.raises(Denied):
        verify_signature(replace(first, signature=b"forged"), KEYS, ISSUER)
    other = read_token(signed(ec_key()))

    assert read_token(signed(claims={"sub": "x"})).header == before
    assert (other.kid, other.algorithm) == (ec_key().kid, "ES256")


def test_of_strangers_headers_few_are_kept_and_no_long_ones() -> None:
    for number in range(300):
        read_token(signed(ec_key(), kid=str(number)))
    kept = _known_header.cache_info()
    read_token(signed(ec_key(), note="x" * 1000))

    assert _known_header.cache_info() == kept
    assert kept.currsize <= 256
