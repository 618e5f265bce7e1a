"""The key that the fuzzed tokens are signed with: always the same, so a corpus can be committed.

It is of Ed25519, whose signatures are the same at every signing and have one form only.
"""

import hashlib
import json
from functools import cache

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from joserfc.jwk import OKPKey
from joserfc.util import urlsafe_b64decode

from tests.fakes.tokens import SigningKey, ec_key, encode, rsa_key, seal

KID = "fuzz"


@cache
def fuzz_key(name: str = KID) -> SigningKey:
    """Return the key of this name; all but the first are strangers'."""
    seed = hashlib.sha256(f"a key for tests alone: {name}".encode()).digest()
    private = OKPKey.import_key({"kty": "OKP", "crv": "Ed25519", "d": encode(seed), "x": _x(seed)})
    return SigningKey(KID, "Ed25519", private)


def other_keys() -> tuple[SigningKey, SigningKey]:
    """Return an RSA and an EC key under the same ``kid``: then the algorithm alone tells."""
    return rsa_key(KID), ec_key(KID)


def signed_anew(token: str, key: SigningKey) -> str:
    """Return the token as the owner of another key would have made it."""
    header, claims, _ = token.split(".")
    members = {**json.loads(urlsafe_b64decode(header.encode())), "alg": key.algorithm}
    return seal(members, urlsafe_b64decode(claims.encode()), key)


def _x(seed: bytes) -> str:
    raw = Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
    return encode(raw)
