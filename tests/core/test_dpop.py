"""DPoP proofs: the RFC's own, and what attackers would send instead."""

import hashlib
import hmac
import json
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.bearer import BearerToken
from sidecar.core.decision import Denied, DenyReason
from sidecar.core.dpop import (
    Proof,
    ProofRules,
    check_proof,
    normalized_path,
    read_proof,
    read_url,
    token_hash,
    verify_proof,
)
from tests.fakes.proofs import CLIENT, RULES, URL, encoded, jkt_of, jwk_of, proof_of
from tests.fakes.tokens import SigningKey, ec_key, ed25519_key, rsa_key, seal
from tests.fakes.world import NOW

R = DenyReason
TOKEN = BearerToken("Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU")

# The examples of RFC 9449, 4.1, 6.1 and 7.1.
JKT_OF_RFC = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"
ATH_OF_RFC = "fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo"
_HEADER_OF_RFC = (
    "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNo"
    "UklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERW"
    "clUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19"
)
FOR_TOKEN_OF_RFC = (
    f"{_HEADER_OF_RFC}.eyJqdGkiOiItQndDM0VTYzZhY2MybFRjIiwiaHRtIjoiUE9TVCIsImh0dSI6Imh0dHBzOi8vc2Vy"
    "dmVyLmV4YW1wbGUuY29tL3Rva2VuIiwiaWF0IjoxNTYyMjYyNjE2fQ.2-GxA6T8lP4vfrg8v-FdWP0A0zdrj8igiMLvqR"
    "MUvwnQg4PtFLbdLXiOSsX0x7NVY-FNyJK70nfbV37xRZT3Lg"
)
FOR_RESOURCE_OF_RFC = (
    f"{_HEADER_OF_RFC}.eyJqdGkiOiJlMWozVl9iS2ljOC1MQUVCIiwiaHRtIjoiR0VUIiwiaHR1IjoiaHR0cHM6Ly9yZXNv"
    "dXJjZS5leGFtcGxlLm9yZy9wcm90ZWN0ZWRyZXNvdXJjZSIsImlhdCI6MTU2MjI2MjYxOCwiYXRoIjoiZlVIeU8ycjJaM"
    "0RaNTNFc05yV0JiMHhXWG9hTnk1OUlpS0NBcWtzbVFFbyJ9.2oW9RP35yRqzhrtNP86L-Ey71EOptxRimPPToA1plemAg"
    "R6pxHF8y6-yqyVnmcw6Fy1dqd-jfxSYoMxhAJpLjA"
)


# Held to what a provider's keys are.
WEAK = {"kty": "RSA", "n": encoded(b"\xff" * 128), "e": "AQAB"}
EVEN = {"kty": "RSA", "n": encoded(b"\xff" * 255 + b"\xfe"), "e": "AQAB"}
OF_SMALL_ORDER = {"kty": "OKP", "crv": "Ed25519", "x": encoded(bytes(32))}


def proven(
    *lines: str,
    method: str = "GET",
    path: str = "/reports",
    now: float = NOW,
    key: str | None = None,
    token: BearerToken = TOKEN,
    rules: ProofRules = RULES,
) -> Proof:
    """Judge the proofs of a request as the decision does."""
    unverified = read_proof(lines, rules)
    check_proof(unverified, rules, method=method, path=path, now=now)
    return verify_proof(unverified, token, key or jkt_of())


def reason_of(*lines: str, **changed: Any) -> tuple[DenyReason, str]:
    with pytest.raises(Denied) as refused:
        proven(*lines, **changed)
    return refused.value.reason, refused.value.detail


def test_the_rfcs_proof_for_a_resource_is_good() -> None:
    rules = ProofRules(("https://resource.example.org",))

    proof = proven(
        FOR_RESOURCE_OF_RFC,
        path="/protectedresource",
        now=1562262618 + 30,
        key=JKT_OF_RFC,
        rules=rules,
    )

    assert proof.nonce is None


def test_the_rfcs_proof_for_the_token_endpoint_is_none_for_a_resource() -> None:
    assert reason_of(FOR_TOKEN_OF_RFC)[0] is R.PROOF_REFUSED
    assert "ath" in reason_of(FOR_TOKEN_OF_RFC)[1]


def test_the_rfcs_hash_and_thumbprint_are_found() -> None:
    assert token_hash(TOKEN) == ATH_OF_RFC
    assert read_proof([FOR_RESOURCE_OF_RFC], RULES).thumbprint == JKT_OF_RFC


@pytest.mark.parametrize("key", [CLIENT, rsa_key("client-rsa"), ed25519_key("client-ed")])
def test_a_proof_by_each_kind_of_key_is_good(key: SigningKey) -> None:
    assert proven(proof_of(TOKEN, key=key), key=jkt_of(key)).nonce is None


def test_the_mark_tells_apart_keys_and_ids_and_nothing_else() -> None:
    """Who signs another proof with the same ``jti`` replays it."""
    other = ec_key("other")
    marks = [
        proven(proof_of(TOKEN, jti="one")).mark,
        proven(proof_of(TOKEN, jti="one", iat=NOW - 1)).mark,
        proven(proof_of(TOKEN, jti="two")).mark,
        proven(proof_of(TOKEN, jti="one", key=other), key=jkt_of(other)).mark,
    ]

    assert marks[0] == marks[1]
    assert len(set(marks)) == 3


@pytest.mark.parametrize(
    ("proof", "says"),
    [
        (proof_of(TOKEN, "POST"), "htm"),
        (proof_of(TOKEN, "get"), "htm"),
        (proof_of(TOKEN, path="/other"), "htu"),
        (proof_of(TOKEN, path="/reports/"), "htu"),
        (proof_of(TOKEN, path="/a/../reports"), "htu"),
        (proof_of(TOKEN, htu="https://evil.example/reports"), "htu"),
        (proof_of(TOKEN, htu="http://api.example/reports"), "htu"),
        (proof_of(TOKEN, htu="https://api.example:8443/reports"), "htu"),
        (proof_of(TOKEN, htu="https://api.example@evil.example/reports"), "htu"),
        (proof_of(TOKEN, htu="https://api.example\\@evil.example/reports"), "htu"),
        (proof_of(TOKEN, htu="/reports"), "htu"),
        (proof_of(TOKEN, htu="https:///reports"), "htu"),
        (proof_of(TOKEN, htu="https://[::1/reports"), "htu"),
        (proof_of(TOKEN, htu="https://api.example:x/reports"), "htu"),
        (proof_of(TOKEN, htu=f"{URL}/" + "a" * 2048), "htu"),
        (proof_of(TOKEN, htu=["https://api.example/reports"]), "htu"),
        (proof_of(TOKEN, htu=None), "htu"),
        (proof_of(TOKEN, htm=None), "htm"),
        (proof_of(TOKEN, jti=None), "jti"),
        (proof_of(TOKEN, jti=""), "jti"),
        (proof_of(TOKEN, jti="x" * 257), "jti"),
        (proof_of(TOKEN, jti="a\nb"), "jti"),
        (proof_of(TOKEN, jti=7), "jti"),
        (proof_of(TOKEN, ath=None), "ath"),
        (proof_of("another.token.x"), "ath"),
        (proof_of(TOKEN, iat=None), "iat"),
        (proof_of(TOKEN, iat="now"), "iat"),
        (proof_of(TOKEN, iat=True), "iat"),
        (proof_of(TOKEN, iat=-1), "iat"),
        (proof_of(TOKEN, iat=2**60), "iat"),
        (proof_of(TOKEN, iat=NOW - 61), "61 s ago"),
        (proof_of(TOKEN, iat=NOW + 6), "6 s ahead"),
        (proof_of(TOKEN, nonce=7), "nonce"),
        (proof_of(TOKEN, header={"typ": None}), "typ"),
        (proof_of(TOKEN, header={"typ": "JWT"}), "typ"),
        (proof_of(TOKEN, header={"typ": "at+jwt"}), "typ"),
        (proof_of(TOKEN, header={"alg": "none"}), "alg"),
        (proof_of(TOKEN, header={"alg": "HS256"}), "alg"),
        (proof_of(TOKEN, header={"alg": "ES384"}), "alg"),
        (proof_of(TOKEN, header={"alg": "RS256"}), "alg"),
        (proof_of(TOKEN, header={"alg": ["ES256"]}), "alg"),
        (proof_of(TOKEN, header={"jwk": None}), "jwk"),
        (proof_of(TOKEN, header={"jwk": "x"}), "jwk"),
        (proof_of(TOKEN, header={"jwk": CLIENT.private.as_dict(private=True)}), "private half"),
        (proof_of(TOKEN, header={"jwk": {**jwk_of(), "k": "c2VjcmV0"}}), "private half"),
        (proof_of(TOKEN, header={"jwk": {"kty": "oct", "k": "c2VjcmV0"}}), "private half"),
        (proof_of(TOKEN, header={"jwk": {"kty": "EC", "crv": "P-256"}}), "key"),
        (proof_of(TOKEN, header={"jwk": {**jwk_of(), "y": jwk_of()["x"]}}), "key"),
        (proof_of(TOKEN, header={"jwk": {**jwk_of(), "crv": "secp256k1"}}), "key"),
        (proof_of(TOKEN, header={"jwk": {**jwk_of(), "alg": "ES512"}}), "alg"),
        (proof_of(TOKEN, key=rsa_key(), header={"jwk": WEAK}), "key"),
        (proof_of(TOKEN, key=rsa_key(), header={"jwk": EVEN}), "key"),
        (proof_of(TOKEN, key=ed25519_key(), header={"jwk": OF_SMALL_ORDER}), "key"),
        (proof_of(TOKEN, header={"crit": ["b64"]}), "header parameter"),
        (proof_of(TOKEN, header={"b64": False}), "header parameter"),
        (proof_of(TOKEN, header={"x5c": ["AA=="]}), "header parameter"),
        (proof_of(TOKEN, header={"jku": "https://evil.example/jwks"}), "header parameter"),
        (proof_of(TOKEN, note="x" * 4096), "more than 4096"),
        (proof_of(TOKEN) + ".", "segments"),
        (proof_of(TOKEN).rpartition(".")[0] + ".", "segments"),
        (proof_of(TOKEN) + "=", "base64url"),
        (proof_of(TOKEN) + "\u00e4", "ASCII"),
        (f"{proof_of(TOKEN)},{proof_of(TOKEN)}", "segments"),
        ("", "segments"),
        ("x", "segments"),
        ("eyJ9.eyJ9.eyJ9", "JSON"),
    ],
)
def test_a_proof_of_something_else_is_refused(proof: str, says: str) -> None:
    reason, detail = reason_of(proof)

    assert reason is R.PROOF_REFUSED
    assert says in detail


def test_a_key_that_is_not_the_tokens_proves_nothing() -> None:
    """RFC 9449, 7.1: that is a wrong token, and not a wrong proof."""
    assert reason_of(proof_of(TOKEN, key=ec_key("thief")))[0] is R.BINDING_REFUSED


def test_a_signature_by_another_key_than_the_one_that_is_told_is_refused() -> None:
    proof = proof_of(TOKEN, key=ec_key("thief"), header={"jwk": jwk_of()})

    assert reason_of(proof) == (R.PROOF_REFUSED, "the signature is not the key's")


def test_a_public_key_is_no_shared_secret() -> None:
    header = {"typ": "dpop+jwt", "alg": "HS256", "jwk": jwk_of()}
    message = proof_of(TOKEN, header=header).rpartition(".")[0]
    secret = json.dumps(jwk_of()).encode()
    signature = encoded(hmac.new(secret, message.encode(), hashlib.sha256).digest())

    assert reason_of(f"{message}.{signature}")[0] is R.PROOF_REFUSED


def test_none_at_all_and_two_are_no_proof() -> None:
    one, two = proof_of(TOKEN), proof_of(TOKEN)

    assert reason_of() == (R.PROOF_REFUSED, "no DPoP line")
    assert reason_of(one, two) == (R.PROOF_REFUSED, "several DPoP lines")
    assert reason_of(one, one) == (R.PROOF_REFUSED, "several DPoP lines")


def test_members_that_are_there_twice_are_refused() -> None:
    claims = f'{{"jti":"a","jti":"b","htm":"GET","htu":"{URL}/reports","iat":{NOW},"ath":"x"}}'
    header = {"typ": "dpop+jwt", "alg": "ES256", "jwk": jwk_of()}

    assert reason_of(seal(header, claims, CLIENT)) == (R.PROOF_REFUSED, "a duplicate member")


@pytest.mark.parametrize("iat", [NOW - 60, NOW, NOW + 5, NOW + 0.5])
def test_the_window_includes_its_ends(iat: float) -> None:
    assert proven(proof_of(TOKEN, iat=iat)).nonce is None


def test_what_is_remembered_outlives_every_clock_that_would_take_the_proof() -> None:
    """One worker's clock is ahead by the leeway, the client's by as much again."""
    assert RULES.memory_seconds == RULES.window + 2 * RULES.leeway


@pytest.mark.parametrize(
    "htu",
    [
        "https://api.example/reports",
        "HTTPS://API.example:443/reports",
        "https://api.example/reports?x=1#y",
        "https://api.example/%72eports",
    ],
)
def test_spellings_of_one_url_are_one(htu: str) -> None:
    """RFC 9449, 4.3: after normalization, without query and fragment."""
    assert proven(proof_of(TOKEN, htu=htu)).nonce is None


def test_escapes_of_the_request_are_compared_in_normal_form() -> None:
    assert proven(proof_of(TOKEN, path="/a%2fb%7e"), path="/a%2Fb~").nonce is None


def test_one_of_several_urls_is_enough_and_paths_are_below_it() -> None:
    rules = ProofRules(("https://other.example", "https://api.example/base"))

    assert proven(proof_of(TOKEN, path="/base/reports"), rules=rules).nonce is None
    assert reason_of(proof_of(TOKEN), rules=rules)[0] is R.PROOF_REFUSED


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("https://a.example", "https://a.example/"),
        ("http://A.example:80/x", "http://a.example/x"),
        ("https://a.example:8443", "https://a.example:8443/"),
        ("https://[::1]:443/x", "https://[::1]/x"),
    ],
)
def test_a_url_has_one_normal_form(text: str, normal: str) -> None:
    assert read_url(text) == normal


@given(st.text(max_size=200))
def test_normal_forms_stay_as_they_are(path: str) -> None:
    path = quote(path)

    assert normalized_path(path) == path
    assert normalized_path(path.replace("%2F", "%2f")) == path


@given(st.lists(st.text(max_size=300), max_size=3))
def test_whatever_the_lines_hold_it_is_a_refusal(lines: list[str]) -> None:
    assert reason_of(*lines)[0] is R.PROOF_REFUSED


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


@given(
    st.sampled_from(["typ", "alg", "jwk", "kid", "crit"]),
    st.sampled_from(["jti", "htm", "htu", "iat", "ath", "nonce"]),
    JUNK,
    JUNK,
)
def test_junk_in_any_member_is_a_refusal_or_harmless(
    parameter: str, claim: str, one: Any, other: Any
) -> None:
    header = {"typ": "dpop+jwt", "alg": "ES256", "jwk": jwk_of(), parameter: one}
    proof = seal(header, {"jti": "a", "htm": "GET", "iat": NOW, claim: other}, CLIENT)

    assert reason_of(proof)[0] is R.PROOF_REFUSED
