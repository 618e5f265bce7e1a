"""The DPoP proof (RFC 9449): read strictly, compared with the request, then its signature verified.

A proof is worth nothing by itself: anybody can make a key and sign one. It counts for the one
token that is bound to its key, for one request (method and URL), for a short while, and once.
"""

import hashlib
import re
from base64 import urlsafe_b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from joserfc.util import urlsafe_b64decode

from sidecar.core.bearer import BearerToken
from sidecar.core.decision import Denied, DenyReason
from sidecar.core.public_key import Unfit, fitting_algorithms, has_private_half, import_public
from sidecar.core.strict_json import NotStrictJSON, read_json_object
from sidecar.core.token import PublicKey, is_signed_by

_TYPE = "dpop+jwt"
_HEADER = frozenset({"typ", "alg", "jwk", "kid"})
_LONGEST_TEXT = 256
_LONGEST_URL = 2048
_DEFAULT_PORTS = {"http": 80, "https": 443}
_ESCAPE = re.compile(r"%[0-9A-Fa-f]{2}")
_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")


@dataclass(frozen=True, slots=True)
class ProofRules:
    """What is demanded of proofs.

    ``urls`` are what clients call us, as ``read_url`` writes it; the path of a request is added.
    A proof is good for ``window`` seconds from its ``iat``, which may lie ``leeway`` seconds ahead.
    """

    urls: tuple[str, ...]
    algorithms: frozenset[str] = frozenset({"ES256"})
    window: float = 60.0
    leeway: float = 5.0
    max_octets: int = 4096

    @property
    def memory_seconds(self) -> float:
        """How long a proof that was used must be remembered, also by clocks that differ."""
        return self.window + 2 * self.leeway


@dataclass(frozen=True, slots=True)
class UnverifiedProof:
    """A well-formed proof. Its signature may be anybody's."""

    header: dict[str, Any] = field(repr=False)
    signed: bytes = field(repr=False)
    signature: bytes = field(repr=False)
    algorithm: str
    key: PublicKey = field(repr=False)
    thumbprint: str
    token_id: str
    method: str
    url: str
    issued_at: float
    token_hash: str
    nonce: str | None


@dataclass(frozen=True, slots=True)
class Proof:
    """A proof that was made with the token's key for this very request.

    ``mark`` names it among all that were used: the hash of the key's thumbprint and ``jti``.
    """

    mark: str
    nonce: str | None


def read_proof(lines: Sequence[str], rules: ProofRules) -> UnverifiedProof:
    """Read the one proof of a request.

    Raises:
        Denied: PROOF_REFUSED, its detail quotes nothing of the proof.
    """
    if len(lines) != 1:
        raise _refused("no DPoP line" if not lines else "several DPoP lines")
    compact = lines[0]
    if len(compact) > rules.max_octets or not compact.isascii():
        raise _refused(f"more than {rules.max_octets} octets, or beyond ASCII")
    header, claims, signature = _read_segments(compact)
    # crit, b64, x5c and their kin: nothing in a proof needs them, and each changes what is read.
    if not _HEADER.issuperset(header):
        raise _refused("a header parameter beside typ, alg, jwk and kid")
    if header.get("typ") != _TYPE:
        raise _refused(f"typ is not {_TYPE}")
    algorithm = header.get("alg")
    if not isinstance(algorithm, str) or algorithm not in rules.algorithms:
        raise _refused("alg is not on the list")
    key = _read_key(header.get("jwk"), algorithm)
    return UnverifiedProof(
        header=header,
        signed=compact[: compact.rindex(".")].encode("ascii"),
        signature=signature,
        algorithm=algorithm,
        key=key,
        thumbprint=key.thumbprint(),
        token_id=_text(claims, "jti"),
        method=_text(claims, "htm"),
        url=_url(_text(claims, "htu", _LONGEST_URL)),
        issued_at=_date(claims),
        token_hash=_text(claims, "ath"),
        nonce=_text(claims, "nonce") if "nonce" in claims else None,
    )


def check_proof(
    proof: UnverifiedProof, rules: ProofRules, *, method: str, path: str, now: float
) -> None:
    """Compare a proof with the request that it came with (RFC 9449, 4.3).

    Raises:
        Denied: PROOF_REFUSED.
    """
    if proof.method != method:
        raise _refused("htm is not the request's method")
    asked = normalized_path(path)
    if all(proof.url != base + asked for base in rules.urls):
        raise _refused("htu is not the request's URL")
    if now - proof.issued_at > rules.window:
        raise _refused(f"iat is {now - proof.issued_at:.0f} s ago")
    if proof.issued_at - now > rules.leeway:
        raise _refused(f"iat is {proof.issued_at - now:.0f} s ahead")


def verify_proof(proof: UnverifiedProof, token: BearerToken, thumbprint: str) -> Proof:
    """Verify that a proof was made for this token with the key that the token is bound to.

    Raises:
        Denied: BINDING_REFUSED for another key, PROOF_REFUSED for another token or a signature
            that is not the key's.
    """
    if proof.thumbprint != thumbprint:
        raise Denied(DenyReason.BINDING_REFUSED, "the proof's key is not the token's")
    if proof.token_hash != token_hash(token):
        raise _refused("ath is not the token's")
    if not is_signed_by(proof.signed, proof.signature, proof.header, proof.algorithm, proof.key):
        raise _refused("the signature is not the key's")
    # The thumbprint has a fixed length, so no two pairs look alike.
    mark = hashlib.sha256(f"{thumbprint}{proof.token_id}".encode()).hexdigest()
    return Proof(mark, proof.nonce)


def token_hash(token: str) -> str:
    """Return ``ath``: base64url of the SHA-256 of the access token (RFC 9449, 4.2)."""
    digest = hashlib.sha256(token.encode("ascii")).digest()
    return urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")


def read_url(text: str) -> str:
    """Return a URL in normal form (RFC 3986, 6.2.2 and 6.2.3), without query and fragment.

    Raises:
        ValueError: it is no absolute http or https URL, or has a user in it.
    """
    if not text.isascii() or not text.isprintable() or " " in text or "\\" in text:
        raise ValueError("not a URL")
    url = urlsplit(text)
    port = url.port
    if url.scheme not in _DEFAULT_PORTS or not url.hostname or "@" in url.netloc:
        raise ValueError("not an absolute http or https URL")
    host = f"[{url.hostname}]" if ":" in url.hostname else url.hostname
    if port is not None and port != _DEFAULT_PORTS[url.scheme]:
        host = f"{host}:{port}"
    return f"{url.scheme}://{host}{normalized_path(url.path or '/')}"


def normalized_path(path: str) -> str:
    """Return the path with one spelling of each octet: unreserved ones bare, escapes upper-case."""
    return path if "%" not in path else _ESCAPE.sub(_normal_escape, path)


def _normal_escape(found: "re.Match[str]") -> str:
    octet = chr(int(found[0][1:], 16))
    return octet if octet in _UNRESERVED else found[0].upper()


def _read_segments(compact: str) -> tuple[dict[str, Any], Mapping[str, Any], bytes]:
    segments = compact.encode("ascii").split(b".")
    if len(segments) != 3 or not all(segments):
        raise _refused("not three non-empty segments")
    try:
        header, claims, signature = (urlsafe_b64decode(segment) for segment in segments)
        return read_json_object(header), read_json_object(claims), signature
    except NotStrictJSON as problem:
        raise _refused(str(problem)) from None
    except ValueError:
        raise _refused("not canonical base64url") from None


def _read_key(jwk: Any, algorithm: str) -> PublicKey:
    if not isinstance(jwk, dict):
        raise _refused("jwk is no object")
    if has_private_half(jwk) or "k" in jwk:
        # RFC 9449, 4.3: "The jwk JOSE Header Parameter does not contain a private key."
        raise _refused("jwk has a private half")
    try:
        if algorithm not in fitting_algorithms(jwk):
            raise _refused("alg does not go with the key")
        return import_public(jwk)
    except Unfit as unfit:
        raise _refused(f"the key {unfit}") from None


def _text(claims: Mapping[str, Any], name: str, longest: int = _LONGEST_TEXT) -> str:
    value = claims.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= longest or not value.isprintable():
        raise _refused(f"{name} is not a string of 1 to {longest} printable characters")
    return value


def _url(text: str) -> str:
    try:
        return read_url(text)
    except ValueError:
        raise _refused("htu is no http or https URL") from None


def _date(claims: Mapping[str, Any]) -> float:
    value = claims.get("iat")
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 2**53:
        raise _refused("iat is no date")
    return float(value)


def _refused(detail: str) -> Denied:
    return Denied(DenyReason.PROOF_REFUSED, detail)
