"""Writes ``corpus/``: honest tokens of many makes, from which the fuzzers set out.

To be run again when the world of the tests changes.
"""

import json
from collections.abc import Mapping
from typing import Any

from tests.fakes.tokens import seal
from tests.fakes.world import AUDIENCE, ISSUER, NOW
from tests.fuzz.judging import CORPUS
from tests.fuzz.signing import KID, fuzz_key

_HEADER = {"alg": "Ed25519", "kid": KID, "typ": "at+jwt"}
_CLAIMS = {"iss": ISSUER, "sub": "robot", "aud": AUDIENCE, "iat": NOW - 10, "exp": NOW + 300}
TOKENS: Mapping[str, tuple[Mapping[str, Any], Mapping[str, Any]]] = {
    "plain": (_HEADER, _CLAIMS),
    "without-typ": ({"alg": "Ed25519", "kid": KID}, _CLAIMS),
    "rfc9068": (
        {**_HEADER, "typ": "application/at+jwt"},
        {**_CLAIMS, "client_id": "robot", "jti": "4f1g23a12aa", "scope": "openid reports.write"},
    ),
    "many-audiences": (_HEADER, {**_CLAIMS, "aud": ["account", AUDIENCE, "other"]}),
    "fractions": (_HEADER, {**_CLAIMS, "iat": NOW - 0.5, "nbf": NOW - 0.5, "exp": NOW + 0.5}),
    "realm-roles": (
        {**_HEADER, "typ": "JWT"},
        {
            **_CLAIMS,
            "azp": "robot",
            "realm_access": {"roles": ["offline_access", "uma_authorization"]},
            "resource_access": {"account": {"roles": ["view-profile"]}},
            "scope": "email profile",
            "email_verified": False,
        },
    ),
    "directory": (
        {**_HEADER, "typ": "JWT", "nonce": "x" * 40, "x5t": "dGh1bWI"},
        {**_CLAIMS, "nbf": NOW - 10, "appid": "robot", "roles": ["Reports.Read"], "ver": "1.0"},
    ),
    "scp": (_HEADER, {**_CLAIMS, "scp": ["a", "b"], "cid": "robot", "uid": None}),
    "text": (_HEADER, {**_CLAIMS, "name": "Ünïcödé ☃ \U0001f916", "x": '"\\/\b\f\n\r\t'}),
    "numbers": (_HEADER, {**_CLAIMS, "x": [0, -1, 1e-9, 12345678901234567890, True, None]}),
}


def main() -> None:
    CORPUS.mkdir(exist_ok=True)
    for name, (header, claims) in TOKENS.items():
        (CORPUS / f"{name}.jwt").write_text(seal(header, claims, fuzz_key()), "ascii")
        # What is under the seal, for libFuzzer to change before it is sealed.
        unsealed = f"s{json.dumps(header)}\n{json.dumps(claims)}"
        (CORPUS / f"{name}.sealed").write_text(unsealed, "ascii")


if __name__ == "__main__":
    main()
