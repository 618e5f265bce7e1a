"""A JSON Web Key Set, read key by key: a bad key is left out, the others go on (RFC 7517, 5).

joserfc's own ``KeySet.import_key_set`` fails as a whole on one unknown curve, and takes weak RSA
keys, private keys and symmetric ones.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from sidecar.core.issuer import Issuer
from sidecar.core.public_key import Unfit, fitting_algorithms, has_private_half, import_public
from sidecar.core.strict_json import NotStrictJSON, read_json_object
from sidecar.core.token import MAX_KID_LENGTH, PublicKey, VerificationKey

ByKid = Mapping[str, tuple[VerificationKey, ...]]


class NoUsableKeys(ValueError):
    """The document holds no key set, or none of its keys is fit to verify."""


@dataclass(frozen=True, slots=True)
class KeySet:
    """Keys fit to verify an issuer's tokens, and why others were left out."""

    by_kid: ByKid
    left_out: tuple[str, ...]
    fingerprint: frozenset[tuple[str, bytes, frozenset[str]]]

    def __len__(self) -> int:
        return len(self.fingerprint)


def read_key_set(document: bytes, issuer: Issuer, max_keys: int) -> KeySet:
    """Read a JWK Set (RFC 7517) for this issuer.

    Raises:
        NoUsableKeys: it is none, has more than ``max_keys`` keys, or no usable one.
    """
    try:
        keys = read_json_object(document).get("keys")
    except NotStrictJSON as problem:
        raise NoUsableKeys(str(problem)) from None
    if not isinstance(keys, list) or len(keys) > max_keys:
        raise NoUsableKeys(f"`keys` is not a list of at most {max_keys}")
    by_kid: dict[str, tuple[VerificationKey, ...]] = {}
    left_out: list[str] = []
    fingerprint = set()
    for number, member in enumerate(keys):
        try:
            kid, key, private = _read_key(member, issuer)
        except Unfit as unfit:
            left_out.append(f"key {number}: {unfit}")
            continue
        if private:
            left_out.append(f"key {number}: its private half is published; only the rest is used")
        by_kid[kid] = (*by_kid.get(kid, ()), key)
        fingerprint.add((kid, _material(key.key), key.algorithms))
    if not by_kid:
        raise NoUsableKeys("; ".join(left_out) or "the set is empty")
    return KeySet(by_kid, tuple(left_out), frozenset(fingerprint))


def _read_key(member: Any, issuer: Issuer) -> tuple[str, VerificationKey, bool]:
    if not isinstance(member, dict):
        raise Unfit("is no object")
    kid = member.get("kid", "")
    if not isinstance(kid, str) or len(kid) > MAX_KID_LENGTH:
        raise Unfit("its kid is no text of a sane length")
    if member.get("use", "sig") != "sig":
        raise Unfit("is not for signatures")
    operations = member.get("key_ops", ["verify"])
    if not isinstance(operations, list) or "verify" not in operations:
        raise Unfit("is not for verifying")
    algorithms = fitting_algorithms(member) & issuer.algorithms
    if not algorithms:
        raise Unfit("fits none of the issuer's algorithms")
    return kid, VerificationKey(import_public(member), algorithms), has_private_half(member)


def _material(key: PublicKey) -> bytes:
    raw: Any = key.raw_value
    octets: bytes = raw.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return octets
