"""Keys with their private half, and tokens sealed with them byte by byte.

``seal`` signs whatever text it is given, so that a test can sign what no library would write.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from cryptography.hazmat.primitives.asymmetric.mldsa import (
    MLDSA44PrivateKey,
    MLDSA65PrivateKey,
    MLDSA87PrivateKey,
)
from joserfc.jwk import ECKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry
from joserfc.util import urlsafe_b64encode

from sidecar.core.mldsa import MLDSAKey
from sidecar.core.token import VerificationKey

JoseKey = RSAKey | ECKey | OKPKey


@dataclass(frozen=True)
class SigningKey:
    """A private key, the ``kid`` it is published under and the ``alg`` it signs with."""

    kid: str
    algorithm: str
    private: JoseKey

    @property
    def public(self) -> JoseKey:
        return type(self.private).import_key(self.private.as_dict(private=False))

    def verification_key(self, *algorithms: str) -> VerificationKey:
        """Return the public half; without arguments it verifies its own algorithm only."""
        return VerificationKey(self.public, frozenset(algorithms or {self.algorithm}))

    def sign(self, message: bytes) -> bytes:
        """Return the raw JWS signature."""
        return JWSRegistry.algorithms[self.algorithm].sign(message, self.private)


@dataclass(frozen=True)
class MLDSASigningKey:
    """An ML-DSA key, which joserfc does not know."""

    kid: str
    algorithm: str
    private: MLDSA44PrivateKey | MLDSA65PrivateKey | MLDSA87PrivateKey

    @property
    def public(self) -> MLDSAKey:
        return MLDSAKey.import_octets(self.algorithm, self.private.public_key().public_bytes_raw())

    def verification_key(self) -> VerificationKey:
        return VerificationKey(self.public, frozenset({self.algorithm}))

    def sign(self, message: bytes) -> bytes:
        return self.private.sign(message)

    def jwk(self, **changed: Any) -> dict[str, Any]:
        """Return the JSON Web Key as RFC 9964 has it published."""
        octets = self.private.public_key().public_bytes_raw()
        pub = urlsafe_b64encode(octets).decode()
        members = {"kty": "AKP", "alg": self.algorithm, "kid": self.kid, "pub": pub, **changed}
        return {name: value for name, value in members.items() if value is not None}


AnyKey = SigningKey | MLDSASigningKey


@cache
def mldsa_key(kid: str = "pq", algorithm: str = "ML-DSA-44") -> MLDSASigningKey:
    match algorithm:
        case "ML-DSA-44":
            return MLDSASigningKey(kid, algorithm, MLDSA44PrivateKey.generate())
        case "ML-DSA-65":
            return MLDSASigningKey(kid, algorithm, MLDSA65PrivateKey.generate())
        case _:
            return MLDSASigningKey(kid, algorithm, MLDSA87PrivateKey.generate())


@cache
def rsa_key(kid: str = "rsa", algorithm: str = "RS256", bits: int = 2048) -> SigningKey:
    return SigningKey(kid, algorithm, RSAKey.generate_key(bits))


@cache
def ec_key(kid: str = "ec", algorithm: str = "ES256") -> SigningKey:
    curve = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}[algorithm]
    return SigningKey(kid, algorithm, ECKey.generate_key(curve))


@cache
def ed25519_key(kid: str = "ed", algorithm: str = "Ed25519") -> SigningKey:
    return SigningKey(kid, algorithm, OKPKey.generate_key("Ed25519"))


def key_set(keys: Iterable[AnyKey]) -> dict[str, tuple[VerificationKey, ...]]:
    """Return the keys by ``kid``; several may share one."""
    by_kid: dict[str, tuple[VerificationKey, ...]] = {}
    for key in keys:
        by_kid[key.kid] = (*by_kid.get(key.kid, ()), key.verification_key())
    return by_kid


def encode(text: str | bytes | Mapping[str, Any]) -> str:
    """Return one segment: base64url of the text, or of the members as JSON."""
    if isinstance(text, Mapping):
        text = json.dumps(text)
    if isinstance(text, str):
        text = text.encode()
    return urlsafe_b64encode(text).decode()


def seal(
    header: str | bytes | Mapping[str, Any],
    claims: str | bytes | Mapping[str, Any],
    key: AnyKey,
) -> str:
    """Return a token with this header and these claims, verbatim, signed by the key."""
    message = f"{encode(header)}.{encode(claims)}"
    return f"{message}.{encode(key.sign(message.encode()))}"
