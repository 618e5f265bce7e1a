"""The client's certificate as a proxy in front tells it, read to its thumbprint (RFC 8705, 3.1).

Only the thumbprint is of interest: whether the certificate is good was judged by whoever made the
TLS handshake. What can be read in two ways, or holds several certificates of which nobody says
which is the client's, proves nothing.
"""

import hashlib
import re
from base64 import b64decode, urlsafe_b64encode
from binascii import unhexlify
from collections.abc import Sequence
from enum import StrEnum, unique
from typing import assert_never
from urllib.parse import unquote

_BEGIN = "-----BEGIN CERTIFICATE-----"
_END = "-----END CERTIFICATE-----"
_LONGEST = 32 * 1024

# RFC 9440, 2.1: a Byte Sequence of RFC 8941, 3.3.5.
_BYTE_SEQUENCE = re.compile(r":([A-Za-z0-9+/]+={0,2}):")
_HASH = re.compile(r"[0-9a-fA-F]{64}")
# A pair of an element of x-forwarded-client-cert; in quotes, a quote is escaped by a backslash.
_PAIR = re.compile(r'([A-Za-z]+)=("(?:[^"\\]|\\.)*+"|[^",;]*+)')


@unique
class CertificateForm(StrEnum):
    """How a proxy writes the client's certificate into a header; the value is a setting."""

    ENVOY_XFCC = "envoy_xfcc"
    NGINX_ESCAPED_PEM = "nginx_escaped_pem"
    RFC9440 = "rfc9440"
    TRAEFIK = "traefik"


def thumbprint_of(der: bytes) -> str:
    """Return base64url of the SHA-256 of a certificate's DER, without padding."""
    return _encode(hashlib.sha256(der).digest())


def read_thumbprint(form: CertificateForm, values: Sequence[str]) -> str | None:
    """Return the thumbprint of the certificate that the header's lines tell.

    None where there is not exactly one line with exactly one certificate of the client's.
    """
    if len(values) != 1 or not 0 < len(values[0]) <= _LONGEST:
        return None
    value = values[0].strip(" ")
    match form:
        case CertificateForm.ENVOY_XFCC:
            return _of_envoy(value)
        case CertificateForm.NGINX_ESCAPED_PEM:
            text = unquote(value)
            if not text.startswith(_BEGIN) or not text.rstrip().endswith(_END):
                return None
            body = text.rstrip()[len(_BEGIN) : -len(_END)]
            return _of_base64("".join(body.split()))
        case CertificateForm.RFC9440:
            found = _BYTE_SEQUENCE.fullmatch(value)
            return None if found is None else _of_base64(found[1])
        case CertificateForm.TRAEFIK:
            # The chain without its armour, a comma between; the client's own comes first.
            return _of_base64(unquote(value).partition(",")[0])
        case _:
            assert_never(form)


def _of_envoy(value: str) -> str | None:
    """Return what ``Hash`` says. Several elements: only the proxies know who wrote which."""
    found: list[str] = []
    at = 0
    while at < len(value):
        pair = _PAIR.match(value, at)
        if pair is None:
            return None
        if pair[1].lower() == "hash":
            found.append(pair[2])
        at = pair.end()
        if at < len(value):
            if value[at] != ";":
                return None
            at += 1
    if len(found) != 1 or not _HASH.fullmatch(found[0]):
        return None
    return _encode(unhexlify(found[0]))


def _of_base64(text: str) -> str | None:
    try:
        der = b64decode(text, validate=True)
    except ValueError:
        return None
    # DER of a certificate is a SEQUENCE of more than 127 octets.
    return thumbprint_of(der) if der[:1] == b"\x30" else None


def _encode(digest: bytes) -> str:
    return urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")
