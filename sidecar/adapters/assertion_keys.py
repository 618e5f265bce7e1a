"""The keys that identity assertions are signed with: derived from a secret, a new one each period.

Whoever has the secret has the same keys at the same time, with nothing to be agreed on: the workers
of one sidecar, and all replicas that share a file. A key is published one period before it signs
and one after, so that a verifier that reads the set from time to time never meets an unknown one.

HKDF is RFC 5869. An Ed25519 key is any 32 octets (RFC 8032, 5.1.5), and its algorithm is called
that (RFC 9864), not EdDSA. The one for P-256 is made by the method of extra random bits (FIPS
186-5, A.2.1).
"""

from typing import Any, Literal

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, derive_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from joserfc.jwk import ECKey, OKPKey

SHORTEST_SECRET = 32
Algorithm = Literal["ES256", "Ed25519"]

_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551  # of P-256's group
_EXTRA_OCTETS = 16


class AssertionKeys:
    """The keys over time. ``rotate_every`` is a period's length in seconds."""

    def __init__(self, secret: bytes, algorithm: Algorithm, rotate_every: float) -> None:
        """Raises ValueError for a secret of less than 32 octets."""
        if len(secret) < SHORTEST_SECRET:
            raise ValueError(f"a secret of {SHORTEST_SECRET} octets or more is needed")
        self.algorithm: Algorithm = algorithm
        self._secret = secret
        self._rotate_every = rotate_every
        self._keys: dict[int, ECKey | OKPKey] = {}

    def signing(self, now: float) -> ECKey | OKPKey:
        """Return the key that signs at this epoch time."""
        return self._key(self._period(now))

    def published(self, now: float) -> dict[str, Any]:
        """Return the public keys of the periods before, now and next, as a set (RFC 7517, 5)."""
        period = self._period(now)
        keys = [self._key(each) for each in (period - 1, period, period + 1)]
        return {
            "keys": [
                {
                    **key.as_dict(private=False),
                    "use": "sig",
                    "alg": self.algorithm,
                    "kid": key.thumbprint(),
                }
                for key in keys
            ]
        }

    def _period(self, now: float) -> int:
        return int(now // self._rotate_every)

    def _key(self, period: int) -> ECKey | OKPKey:
        key = self._keys.get(period)
        if key is None:
            self._keys = {at: each for at, each in self._keys.items() if abs(at - period) < 3}
            key = self._keys[period] = self._derive(period)
        return key

    def _derive(self, period: int) -> ECKey | OKPKey:
        if self.algorithm == "Ed25519":
            pem = _pem(Ed25519PrivateKey.from_private_bytes(self._octets(period, 32)))
            return OKPKey.import_key(pem)
        wide = int.from_bytes(self._octets(period, 32 + _EXTRA_OCTETS))
        return ECKey.import_key(_pem(derive_private_key(wide % (_ORDER - 1) + 1, SECP256R1())))

    def _octets(self, period: int, length: int) -> bytes:
        info = f"sidecar identity assertion {self.algorithm} {self._rotate_every:g} {period}"
        return HKDF(SHA256(), length, None, info.encode()).derive(self._secret)


def _pem(key: Any) -> bytes:
    pem: bytes = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return pem
