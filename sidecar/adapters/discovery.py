"""Where an issuer's keys are: OpenID Connect Discovery 1.0, 4 and RFC 8414, 3."""

from collections.abc import Iterator
from urllib.parse import urlsplit

from sidecar.adapters.bounded_fetch import FetchFailed
from sidecar.core.strict_json import NotStrictJSON, read_json_object
from sidecar.ports import FetchOutcome


def discovery_urls(issuer: str) -> Iterator[str]:
    """Return where the discovery document may be, in the order to look.

    OpenID Connect appends to the issuer, its last slash removed; RFC 8414 inserts before its path.
    """
    yield issuer.rstrip("/") + "/.well-known/openid-configuration"
    url = urlsplit(issuer)
    path = url.path.rstrip("/")
    yield f"{url.scheme}://{url.netloc}/.well-known/oauth-authorization-server{path}"


def read_jwks_uri(document: bytes, issuer: str) -> str:
    """Return the address of the keys.

    Raises:
        FetchFailed: ISSUER_MISMATCH for another's document (OpenID Connect Discovery, 4.3: the
            issuer MUST be identical), MALFORMED for none.
    """
    try:
        members = read_json_object(document)
    except NotStrictJSON as problem:
        raise FetchFailed(FetchOutcome.MALFORMED, f"discovery document: {problem}") from None
    if members.get("issuer") != issuer:
        raise FetchFailed(
            FetchOutcome.ISSUER_MISMATCH, "the discovery document is another issuer's"
        )
    address = members.get("jwks_uri")
    if not isinstance(address, str) or not address.isascii() or not address.isprintable():
        raise FetchFailed(FetchOutcome.MALFORMED, "the discovery document names no jwks_uri")
    return address
