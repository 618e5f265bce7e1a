"""One public key as a JSON Web Key (RFC 7517): what it can verify, and whether it is fit to.

For keys that strangers may have written: a provider's key set, and the key in a DPoP proof.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from joserfc.jwk import ECKey, OKPKey, RSAKey
from joserfc.util import base64_to_int, urlsafe_b64decode

from sidecar.core.mldsa import SIGNATURE_OCTETS, MLDSAKey
from sidecar.core.token import PublicKey

_RSA_BITS = range(2048, 8193)  # RFC 7518, 3.3 asks for 2048; beyond 8192 only the CPU suffers
_MAX_MEMBER = 4096  # characters; to make a number of a whole document would hold up everybody
_RSA_EXPONENTS = range(3, 2**33)
_PUBLIC = ("kty", "n", "e", "crv", "x", "y")
_PRIVATE = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "priv"})

_RSA_ALGORITHMS = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})
# RFC 9864, 3.1: EdDSA is the old name, and a key may bear either.
_ED25519_ALGORITHMS = frozenset({"Ed25519", "EdDSA"})
_MLDSA_ALGORITHMS = frozenset(SIGNATURE_OCTETS)

# The y of the eight points of small order on edwards25519; the sign of x tells two of a y apart.
# With such a point as a "key", signatures verify that nobody made (RFC 8032, 5.1.7; Wycheproof).
_ED25519_PRIME = 2**255 - 19
_OF_ORDER_8 = 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826
_SMALL_ORDER = frozenset(
    {
        0,
        1,
        _ED25519_PRIME - 1,
        _OF_ORDER_8,
        _ED25519_PRIME - _OF_ORDER_8,
    }
)

# ROCA (CVE-2017-15361): primes of the affected chips are k * M + 65537^a mod M, so the modulus
# modulo each of these small primes lies in the subgroup that 65537 generates there.
_ROCA_PRIMES = (
    3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97,
    101, 103, 107, 109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167,
)  # fmt: skip


class Unfit(ValueError):
    """Why a key cannot be used; quotes nothing of it."""


def has_private_half(member: Mapping[str, Any]) -> bool:
    """Say whether more than the public half is told."""
    return not _PRIVATE.isdisjoint(member)


def fitting_algorithms(member: Mapping[str, Any]) -> frozenset[str]:
    """Return the algorithms that type, curve and ``alg`` agree on. Raises Unfit."""
    algorithms = _algorithms_of_type(member.get("kty"), member.get("crv"))
    if "alg" not in member:
        # RFC 9964: an Algorithm Key Pair is made for one algorithm, and MUST say which.
        return algorithms - _MLDSA_ALGORITHMS
    # RFC 8725, 3.1: a key is for one algorithm; what it says outweighs what it could do.
    named = member["alg"]
    if named in tuple(_ED25519_ALGORITHMS):
        return algorithms & _ED25519_ALGORITHMS
    return frozenset(algorithm for algorithm in algorithms if algorithm == named)


def _algorithms_of_type(kty: Any, crv: Any) -> frozenset[str]:
    match kty, crv:
        case "RSA", _:
            return _RSA_ALGORITHMS
        case "EC", "P-256":
            return frozenset({"ES256"})
        case "EC", "P-384":
            return frozenset({"ES384"})
        case "EC", "P-521":
            return frozenset({"ES512"})
        case "OKP", "Ed25519":
            return _ED25519_ALGORITHMS
        case "AKP", _:
            return _MLDSA_ALGORITHMS
        case _:
            raise Unfit("has an unknown type or curve")


def import_public(member: Mapping[str, Any]) -> PublicKey:
    """Return the public half, if it is fit to verify with. Raises Unfit."""
    # Only what makes the key: joserfc would take a private half, and at each verification would
    # hold the rest against the token again (a key that says EdDSA, a token that says Ed25519).
    public = {name: member[name] for name in _PUBLIC if name in member}
    if any(len(value) > _MAX_MEMBER for value in public.values() if isinstance(value, str)):
        raise Unfit("has a member too long for any key")
    try:
        if member["kty"] == "RSA":
            _check_rsa(base64_to_int(public["n"]), base64_to_int(public["e"]))
            return RSAKey.import_key(public)
        if member["kty"] == "EC":
            return _on_curve(ECKey.import_key(public))
        if member["kty"] == "AKP":
            return _checked_mldsa(member["alg"], urlsafe_b64decode(member["pub"].encode()))
        return _checked_ed25519(OKPKey.import_key(public))
    except Unfit:
        raise
    except Exception:  # noqa: BLE001 - whatever two libraries say to what strangers wrote
        raise Unfit("cannot be read") from None


def _check_rsa(modulus: int, exponent: int) -> None:
    if modulus.bit_length() not in _RSA_BITS or not modulus & 1:
        raise Unfit("its modulus is even, or not of 2048 to 8192 bits")
    if exponent not in _RSA_EXPONENTS or not exponent & 1:
        raise Unfit("its exponent is weak")
    if all(modulus % prime in _generated(prime) for prime in _ROCA_PRIMES):
        raise Unfit("was made by a chip whose keys can be factored (ROCA, CVE-2017-15361)")


@cache
def _generated(prime: int) -> frozenset[int]:
    """Return the subgroup that 65537 generates modulo ``prime``."""
    return frozenset(pow(65537, exponent, prime) for exponent in range(prime))


def _checked_ed25519(key: OKPKey) -> OKPKey:
    raw: Any = key.raw_value
    y = int.from_bytes(raw.public_bytes(Encoding.Raw, PublicFormat.Raw), "little") & (2**255 - 1)
    if y in _SMALL_ORDER or y >= _ED25519_PRIME:
        raise Unfit("is a point of small order, or not canonically encoded")
    return key


def _checked_mldsa(algorithm: str, octets: bytes) -> MLDSAKey:
    # FIPS 204, algorithm 8: where t1 is zero the challenge has no part in what is verified, and
    # anybody makes signatures. The seed before it is of 32 octets.
    if not any(octets[32:]):
        raise Unfit("is zero: anybody could sign")
    return MLDSAKey.import_octets(algorithm, octets)


def _on_curve(key: ECKey) -> ECKey:
    key.raw_value  # noqa: B018 - the point is computed here, and refused if it is off the curve
    return key
