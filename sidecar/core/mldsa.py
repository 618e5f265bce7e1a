"""ML-DSA (FIPS 204) in tokens: RFC 9964, signatures that a quantum computer does not forge.

joserfc knows neither the algorithms nor their key type ``AKP``; the signature itself is left to the
cryptography library, as everywhere.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.mldsa import (
    MLDSA44PublicKey,
    MLDSA65PublicKey,
    MLDSA87PublicKey,
)
from joserfc.util import urlsafe_b64encode

Raw = MLDSA44PublicKey | MLDSA65PublicKey | MLDSA87PublicKey

_PARAMETER_SETS: Mapping[str, type[Raw]] = {
    "ML-DSA-44": MLDSA44PublicKey,
    "ML-DSA-65": MLDSA65PublicKey,
    "ML-DSA-87": MLDSA87PublicKey,
}

# Octets (FIPS 204, table 2). A signature is of exactly this length.
SIGNATURE_OCTETS: Mapping[str, int] = {"ML-DSA-44": 2420, "ML-DSA-65": 3309, "ML-DSA-87": 4627}


@dataclass(frozen=True, slots=True)
class MLDSAKey:
    """A public key of one parameter set."""

    algorithm: str
    raw_value: Raw

    @classmethod
    def import_octets(cls, algorithm: str, octets: bytes) -> "MLDSAKey":
        """Return the key (RFC 9964: ``pub``, decoded).

        Raises:
            KeyError: ``algorithm`` is no parameter set.
            ValueError: ``octets`` are no key of it.
        """
        return cls(algorithm, _PARAMETER_SETS[algorithm].from_public_bytes(octets))

    def thumbprint(self) -> str:
        """Return the SHA-256 thumbprint (RFC 7638) over what RFC 9964 requires of the key."""
        pub = urlsafe_b64encode(self.raw_value.public_bytes_raw()).decode("ascii")
        members = f'{{"alg":"{self.algorithm}","kty":"AKP","pub":"{pub}"}}'
        return urlsafe_b64encode(hashlib.sha256(members.encode()).digest()).decode("ascii")

    def has_signed(self, message: bytes, signature: bytes) -> bool:
        """Say whether the signature is this key's. RFC 9964 has the context empty."""
        if len(signature) != SIGNATURE_OCTETS[self.algorithm]:
            return False
        try:
            self.raw_value.verify(signature, message)
        except InvalidSignature:
            return False
        return True
