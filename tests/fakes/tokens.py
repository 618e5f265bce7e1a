"""Keys with their private half, and tokens sealed with them byte by byte.

``seal`` signs whatever text it is given, so that a test can sign what no library would write.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from joserfc.jwk import ECKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry
from joserfc.util import urlsafe_b64encode

from sidecar.core.token import PublicKey, VerificationKey


@dataclass(frozen=True)
class SigningKey:
    """A private key, the ``kid`` it is published under and the ``alg`` it signs with."""

    kid: str
    algorithm: str
    private: PublicKey

    @property
    def public(self) -> PublicKey:
        return type(self.private).import_key(self.private.as_dict(private=False))

    def verification_key(self, *algorithms: str) -> VerificationKey:
        """Return the public half; without arguments it verifies its own algorithm only."""
        return VerificationKey(self.public, frozenset(algorithms or {self.algorithm}))

    def sign(self, message: bytes) -> bytes:
        """Return the raw JWS signature."""
        return JWSRegistry.algorithms[self.algorithm].sign(message, self.private)


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


def key_set(keys: Iterable[SigningKey]) -> dict[str, tuple[VerificationKey, ...]]:
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
    key: SigningKey,
) -> str:
    """Return a token with this header and these claims, verbatim, signed by the key."""
    message = f"{encode(header)}.{encode(claims)}"
    return f"{message}.{encode(key.sign(message.encode()))}"
