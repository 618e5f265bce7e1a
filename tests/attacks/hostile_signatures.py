"""Signatures as an attacker would make them, by name: see ``signatures.toml``."""

# ruff: noqa: ARG005 - each entry of a table is called alike
import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
from typing import Any

from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from joserfc.util import urlsafe_b64decode

from tests.fakes.tokens import SigningKey

P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
ED25519_ORDER = 2**252 + 27742317777372353535851937790883648493
_HASHES = {"HS256": hashlib.sha256, "HS384": hashlib.sha384, "HS512": hashlib.sha512}


def hostile_signature(kind: str, message: bytes, key: SigningKey, algorithm: str) -> bytes:
    """Return the signature that ``kind`` names, made where it can be from an honest one."""
    family, _, detail = kind.partition(" ")
    if family == "hmac":
        digest = _HASHES.get(algorithm, hashlib.sha256)
        return hmac.new(PUBLIC_AS_SECRET[detail](key), message, digest).digest()
    honest = key.sign(message)
    match family:
        case "ecdsa":
            size = len(honest) // 2
            r, s = (int.from_bytes(half, "big") for half in (honest[:size], honest[size:]))
            return _ECDSA[detail](r, s, P256_ORDER)
        case "ed25519":
            return _ED25519[detail](honest[:32], int.from_bytes(honest[32:], "little"))
        case "rsa":
            modulus = _raw(key).public_numbers().n
            found = _RSA[detail](int.from_bytes(honest, "big"), modulus)
            return found.to_bytes((found.bit_length() + 7) // 8, "big")
        case _:
            return _OCTETS[kind](honest)


def _raw(key: SigningKey) -> Any:
    return key.public.raw_value


def _pem(key: SigningKey) -> bytes:
    return bytes(_raw(key).public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))


def _jwk(key: SigningKey, **how: Any) -> bytes:
    return json.dumps(key.public.as_dict(private=False), **how).encode()


def _number(key: SigningKey) -> bytes:
    members = key.public.as_dict(private=False)
    return str(members.get("n") or members["x"]).encode()


PUBLIC_AS_SECRET: Mapping[str, Callable[[SigningKey], bytes]] = {
    # The public key in forms that a careless verifier takes for a shared secret.
    "pem": _pem,
    "pem without its last line break": lambda key: _pem(key).strip(),
    "pem with CRLF": lambda key: _pem(key).replace(b"\n", b"\r\n"),
    "pem body": lambda key: b"".join(_pem(key).split(b"\n")[1:-2]),
    "pkcs1 pem": lambda key: _raw(key).public_bytes(Encoding.PEM, PublicFormat.PKCS1),
    "pkcs1 der": lambda key: _raw(key).public_bytes(Encoding.DER, PublicFormat.PKCS1),
    "der": lambda key: _raw(key).public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
    "ssh": lambda key: _raw(key).public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH),
    "jwk": _jwk,
    "jwk without spaces": lambda key: _jwk(key, separators=(",", ":")),
    "jwk and a line break": lambda key: _jwk(key) + b"\n",
    "jwk, its names in order": lambda key: _jwk(key, sort_keys=True),
    "number": _number,
    "number and a line break": lambda key: _number(key) + b"\n",
    "octets": lambda key: urlsafe_b64decode(_number(key)),
    "octets and a line break": lambda key: urlsafe_b64decode(_number(key)) + b"\n",
    "octets behind a zero": lambda key: b"\0" + urlsafe_b64decode(_number(key)),
    "decimal": lambda key: b"%d" % int.from_bytes(urlsafe_b64decode(_number(key)), "big"),
    "kid": lambda key: key.kid.encode(),
    "nothing": lambda _: b"",
}
_OCTETS: Mapping[str, Callable[[bytes], bytes]] = {
    "zeros": lambda honest: bytes(len(honest)),
    "ones": lambda honest: b"\xff" * len(honest),
    "one": lambda honest: bytes(len(honest) - 1) + b"\1",
    "one octet": lambda _: b"\0",
    "without its first octet": lambda honest: honest[1:],
    "without its last octet": lambda honest: honest[:-1],
    "and a zero": lambda honest: honest + b"\0",
    "behind a zero": lambda honest: b"\0" + honest,
    "twice": lambda honest: honest + honest,
    "backwards": lambda honest: honest[::-1],
    "first bit": lambda honest: bytes([honest[0] ^ 0x80]) + honest[1:],
    "last bit": lambda honest: honest[:-1] + bytes([honest[-1] ^ 1]),
    "in hex": lambda honest: honest.hex().encode(),
    "and four thousand zeros": lambda honest: honest + bytes(4000),
}
_IDENTITY = b"\1" + bytes(31)


def _pair(r: int, s: int, size: int = 32) -> bytes:
    return r.to_bytes(size, "big") + s.to_bytes(size, "big")


_ECDSA: Mapping[str, Callable[[int, int, int], bytes]] = {
    "r=0": lambda r, s, n: _pair(0, s),
    "s=0": lambda r, s, n: _pair(r, 0),
    "r=s=0": lambda r, s, n: _pair(0, 0),
    "r=n": lambda r, s, n: _pair(n, s),
    "s=n": lambda r, s, n: _pair(r, n),
    "r=s=n": lambda r, s, n: _pair(n, n),
    "r=0 s=n": lambda r, s, n: _pair(0, n),
    "r=n s=0": lambda r, s, n: _pair(n, 0),
    "r=n+1": lambda r, s, n: _pair(n + 1, s),
    "s=n+1": lambda r, s, n: _pair(r, n + 1),
    "r=s=1": lambda r, s, n: _pair(1, 1),
    "r=1 s=0": lambda r, s, n: _pair(1, 0),
    "r=s=n-1": lambda r, s, n: _pair(n - 1, n - 1),
    "r max": lambda r, s, n: _pair(2**256 - 1, s),
    "s max": lambda r, s, n: _pair(r, 2**256 - 1),
    "r=-r": lambda r, s, n: _pair(n - r, s),
    "r=s": lambda r, s, n: _pair(r, r),
    "swapped": lambda r, s, n: _pair(s, r),
    "high s": lambda r, s, n: _pair(r, max(s, n - s)),
    "low s": lambda r, s, n: _pair(r, min(s, n - s)),
    "der": lambda r, s, n: encode_dss_signature(r, s),
    "der of high s": lambda r, s, n: encode_dss_signature(r, max(s, n - s)),
    "little end first": lambda r, s, n: r.to_bytes(32, "little") + s.to_bytes(32, "little"),
    "halves of one octet more": lambda r, s, n: _pair(r, s, 33),
    "of the next curve's size": lambda r, s, n: _pair(r, s, 48),
    "r alone": lambda r, s, n: r.to_bytes(32, "big"),
}
_ED25519: Mapping[str, Callable[[bytes, int], bytes]] = {
    "S + L": lambda point, s: point + _scalar(s + ED25519_ORDER),
    "S + 2L": lambda point, s: point + _scalar(s + 2 * ED25519_ORDER),
    "S = L": lambda point, s: point + _scalar(ED25519_ORDER),
    "S = 0": lambda point, s: point + _scalar(0),
    "S with its top bit": lambda point, s: point + _scalar(s | 1 << 255),
    "R of small order": lambda point, s: _IDENTITY + _scalar(s),
    "R of small order, S = 0": lambda point, s: _IDENTITY + _scalar(0),
    "R not canonical": lambda point, s: _scalar(2**255 - 18) + _scalar(s),
    "R with the other sign": lambda point, s: point[:31] + bytes([point[31] ^ 0x80]) + _scalar(s),
    "swapped": lambda point, s: _scalar(s) + point,
}
_RSA: Mapping[str, Callable[[int, int], int]] = {
    "n": lambda s, n: n,
    "n - 1": lambda s, n: n - 1,
    "n - s": lambda s, n: n - s,
    "s + n": lambda s, n: s + n,
}


def _scalar(value: int) -> bytes:
    return value.to_bytes(32, "little")
