"""The token: read strictly, then its signature verified with the issuer's keys.

Types carry proof: ``UnverifiedToken`` only says which configured issuer and key to try (hints,
RFC 8725, 3.10), ``VerifiedToken`` can only be had from ``verify_signature``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice
from typing import Any

from joserfc import jws
from joserfc.errors import JoseError, UnsupportedAlgorithmError
from joserfc.jwk import ECKey, OKPKey, RSAKey
from joserfc.util import urlsafe_b64decode
from typing_extensions import override

from sidecar.core.bearer import BearerToken
from sidecar.core.decision import Denied, DenyReason
from sidecar.core.issuer import Issuer
from sidecar.core.mldsa import MLDSAKey
from sidecar.core.strict_json import NotStrictJSON, read_json_object

MAX_KID_LENGTH = 256

# A token without kid, which anybody can write, costs a verification for each key that fits. A
# provider that rotates has two or three.
MAX_KEYS_TRIED = 4

# Parameters that change what is signed or who is trusted. An access token never needs them, so
# each is refused: crit and b64 (RFC 7515, 4.1.11; RFC 7797), compression and nesting (RFC 8725,
# 3.6), and keys that travel with the token (RFC 8725, 3.10; CVE-2026-27962).
_REFUSED_PARAMETERS = frozenset({"crit", "b64", "zip", "enc", "cty", "jwk", "jku", "x5c", "x5u"})

PublicKey = RSAKey | ECKey | OKPKey | MLDSAKey


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """One public key and the algorithms that it may verify (its type, curve and ``alg`` agree)."""

    key: PublicKey
    algorithms: frozenset[str]


@dataclass(frozen=True, slots=True)
class VerificationKeys:
    """An issuer's key set at one time; ``generation`` changes whenever the keys do.

    Several keys may share a ``kid`` (RFC 7517, 4.5); keys without one are under ``""``.
    """

    by_kid: Mapping[str, tuple[VerificationKey, ...]]
    generation: int


@dataclass(frozen=True, slots=True)
class UnverifiedToken:
    """A well-formed token that nobody vouches for yet: hints, and the claims under seal.

    ``signed`` are the octets under the signature (RFC 7515, 5.1): they are as they came.
    """

    header: dict[str, Any] = field(repr=False)
    signed: bytes = field(repr=False)
    signature: bytes = field(repr=False)
    issuer: str
    algorithm: str
    kid: str | None
    token_type: str | None
    sealed_claims: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True)
class VerifiedToken:
    """A token whose signature is the issuer's. Made by ``verify_signature`` alone."""

    issuer: str
    token_type: str | None
    claims: Mapping[str, Any] = field(repr=False)
    generation: int


@dataclass(frozen=True, slots=True)
class _Header:
    members: dict[str, Any]  # shared by all tokens that have it: nobody may change them
    algorithm: str
    kid: str | None
    token_type: str | None


def read_token(bearer: BearerToken) -> UnverifiedToken:
    """Read a JWS in compact serialization (RFC 7515, 3.1) without trusting a byte of it.

    Raises:
        Denied: TOKEN_UNREADABLE, its detail quotes nothing of the token.
    """
    compact = bearer.encode("ascii")
    segments = compact.split(b".")
    if len(segments) != 3 or not all(segments):
        raise _unreadable("not three non-empty segments")
    try:
        # joserfc's decoder refuses padding, "+", "/" and non-zero tail bits: each would be a
        # second spelling of one token (GHSA-5jhw-7jv7-qcqq).
        claims_text, signature = map(urlsafe_b64decode, segments[1:])
        read = _known_header if len(segments[0]) <= _LONGEST_KNOWN else _read_header
        header = read(segments[0])
        claims = read_json_object(claims_text)
    except NotStrictJSON as problem:
        raise _unreadable(str(problem)) from None
    except ValueError:
        raise _unreadable("not canonical base64url") from None
    return UnverifiedToken(
        header=header.members,
        signed=compact[: compact.rindex(b".")],
        signature=signature,
        issuer=_string(claims, "iss") or "",
        algorithm=header.algorithm,
        kid=header.kid,
        token_type=header.token_type,
        sealed_claims=claims,
    )


def check_header(token: UnverifiedToken, issuer: Issuer) -> None:
    """Judge algorithm, key id and type before any cryptography is spent on the token.

    Raises:
        Denied: ALGORITHM_REFUSED or TOKEN_UNREADABLE.
    """
    if token.algorithm not in issuer.algorithms:
        raise Denied(DenyReason.ALGORITHM_REFUSED, "alg is not on the issuer's list")
    if token.kid is None and not issuer.kid_optional:
        raise _unreadable("no kid")
    if token.token_type is None:
        if issuer.type_required:
            raise _unreadable("no typ")
    elif token.token_type.lower() not in issuer.token_types:
        # RFC 8725, 3.11: an ID token or a DPoP proof is signed by the same keys.
        raise _unreadable("typ is not an access token's")


def match_keys(token: UnverifiedToken, keys: VerificationKeys) -> tuple[VerificationKey, ...]:
    """Return the keys that may have signed the token; empty when its key is unknown.

    For a token that names none they are the first ``MAX_KEYS_TRIED`` of the set that fit.
    """
    if token.kid is not None:
        named = keys.by_kid.get(token.kid, ())
        return tuple(key for key in named if token.algorithm in key.algorithms)
    fitting = (
        key
        for same_kid in keys.by_kid.values()
        for key in same_kid
        if token.algorithm in key.algorithms
    )
    return tuple(islice(fitting, MAX_KEYS_TRIED))


def verify_signature(
    token: UnverifiedToken, keys: VerificationKeys, issuer: Issuer
) -> VerifiedToken:
    """Verify the signature with the keys of exactly the issuer that the token names.

    Raises:
        Denied: UNKNOWN_KEY when no key fits ``kid`` and ``alg``, BAD_SIGNATURE when none of the
            fitting keys made the signature.
    """
    check_header(token, issuer)
    candidates = match_keys(token, keys)
    if not candidates:
        raise Denied(DenyReason.UNKNOWN_KEY, "no key with this kid and alg")
    for candidate in candidates:
        if is_signed_by(
            token.signed, token.signature, token.header, token.algorithm, candidate.key
        ):
            return VerifiedToken(
                issuer=token.issuer,
                token_type=token.token_type,
                claims=token.sealed_claims,
                generation=keys.generation,
            )
    raise Denied(DenyReason.BAD_SIGNATURE, "the signature is not the key's")


def is_signed_by(
    signed: bytes, signature: bytes, header: dict[str, Any], algorithm: str, key: PublicKey
) -> bool:
    """Say whether the key made the signature of a JWS, by this algorithm and no other.

    It is what joserfc does with a compact token, but for reading it: that was done before, and to
    do it again costs as much as half of an RSA verification.
    """
    if isinstance(key, MLDSAKey):
        return algorithm == key.algorithm and key.has_signed(signed, signature)
    registry = _registry(algorithm)
    try:
        registry.check_header(header)
        found = registry.get_alg(algorithm)
        found.check_key(key)
        return bool(found.verify(signed, signature, key))
    except (JoseError, ValueError):
        return False


class _Registry(jws.JWSRegistry):
    @override
    def get_alg(self, name: str) -> Any:
        # The base class warns at each use of "EdDSA", which providers still write for Ed25519.
        if not self.allowed or name not in self.allowed:
            raise UnsupportedAlgorithmError(name)
        return self.algorithms[name]


# One registry per algorithm, never joserfc's default: that one knows `none` and HS*, takes an
# empty list for "the recommended ones", and refuses header parameters that it has not heard of,
# which real Entra tokens carry.
_REGISTRIES: dict[str, jws.JWSRegistry] = {}


def _registry(algorithm: str) -> jws.JWSRegistry:
    registry = _REGISTRIES.get(algorithm)
    if registry is None:
        registry = _Registry(algorithms=[algorithm], strict_check_header=False)
        _REGISTRIES[algorithm] = registry
    return registry


def _read_header(segment: bytes) -> _Header:
    members = read_json_object(urlsafe_b64decode(segment))
    return _Header(
        members=members,
        algorithm=_string(members, "alg") or "",
        kid=_read_kid(members),
        token_type=_string(members, "typ"),
    )


# All tokens of a key have the same header, octet for octet; bounded twice, as strangers write them.
_LONGEST_KNOWN = 512
_known_header = lru_cache(maxsize=256)(_read_header)


def _read_kid(header: Mapping[str, Any]) -> str | None:
    refused = _REFUSED_PARAMETERS.intersection(header)
    if refused:
        raise _unreadable(f"header parameter {min(refused)}")
    kid = _string(header, "kid")
    if kid is not None and not 0 < len(kid) <= MAX_KID_LENGTH:
        raise _unreadable("kid is empty or too long")
    if kid is not None and not kid.isprintable():
        raise _unreadable("kid has control characters or lone surrogates")
    return kid


def _string(members: Mapping[str, Any], name: str) -> str | None:
    value = members.get(name)
    if value is None and name not in members:
        return None
    if not isinstance(value, str):
        raise _unreadable(f"{name} is not a string")
    return value


def _unreadable(detail: str) -> Denied:
    return Denied(DenyReason.TOKEN_UNREADABLE, detail)
