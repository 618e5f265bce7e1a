"""The key that the fuzzed tokens are signed with: always the same, so a corpus can be committed.

It is of Ed25519, whose signatures are the same at every signing and have one form only.
"""

import hashlib
from functools import cache

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from joserfc.jwk import OKPKey

from tests.fakes.tokens import SigningKey, encode

KID = "fuzz"


@cache
def fuzz_key(name: str = KID) -> SigningKey:
    """Return the key of this name; all but the first are strangers'."""
    seed = hashlib.sha256(f"a key for tests alone: {name}".encode()).digest()
    private = OKPKey.import_key({"kty": "OKP", "crv": "Ed25519", "d": encode(seed), "x": _x(seed)})
    return SigningKey(KID, "Ed25519", private)


def _x(seed: bytes) -> str:
    raw = Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
    return encode(raw)
