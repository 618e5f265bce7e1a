"""Where an issuer's keys and endpoints are: OpenID Connect Discovery 1.0, 4 and RFC 8414, 3."""

from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from sidecar.adapters.bounded_fetch import FetchFailed
from sidecar.core.strict_json import NotStrictJSON, read_json_object
from sidecar.ports import FetchOutcome

_INTROSPECTION = "introspection_endpoint"


def discovery_urls(issuer: str) -> Iterator[str]:
    """Return where the discovery document may be, in the order to look.

    OpenID Connect appends to the issuer, its last slash removed; RFC 8414 inserts before its path.
    """
    yield issuer.rstrip("/") + "/.well-known/openid-configuration"
    url = urlsplit(issuer)
    path = url.path.rstrip("/")
    yield f"{url.scheme}://{url.netloc}/.well-known/oauth-authorization-server{path}"


def shared_signals_url(issuer: str) -> str:
    """Return where a transmitter's metadata are (Shared Signals Framework 1.0, 7.2)."""
    url = urlsplit(issuer)
    return f"{url.scheme}://{url.netloc}/.well-known/ssf-configuration{url.path.rstrip('/')}"


async def discover(
    issuer: str,
    fetch: Callable[[str], Awaitable[bytes]],
    read: Callable[[bytes], str],
    first: tuple[str, ...] = (),
) -> str:
    """Return what ``read`` finds in the issuer's metadata, at the first place that has it.

    ``first`` are places to look at before those of the standards.

    Raises:
        FetchFailed: as ``read`` does, or in whatever way ``fetch`` failed.
    """
    failure: FetchFailed | None = None
    for url in dict.fromkeys((*first, *discovery_urls(issuer))):
        try:
            return read(await fetch(url))
        except FetchFailed as failed:
            # The first place's failure is told: the second is looked at for want of it.
            failure = failure or failed
    assert failure is not None, "there is always a place to look"  # noqa: S101
    raise failure


def read_metadata(document: bytes, issuer: str) -> Mapping[str, Any]:
    """Return the members of the issuer's discovery document.

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
    return members


def read_jwks_uri(document: bytes, issuer: str) -> str:
    """Return the address of the keys. Raises FetchFailed as ``read_metadata``."""
    return address_of(read_metadata(document, issuer), "jwks_uri")


def read_introspection_endpoint(document: bytes, issuer: str, *, mutual_tls: bool) -> str:
    """Return the address of the introspection endpoint (RFC 8414, 2).

    With ``mutual_tls`` that for clients who show a certificate, if there is one (RFC 8705, 5).

    Raises:
        FetchFailed: as ``read_metadata``.
    """
    metadata = read_metadata(document, issuer)
    aliases = metadata.get("mtls_endpoint_aliases") if mutual_tls else None
    if isinstance(aliases, dict) and _INTROSPECTION in aliases:
        return address_of(aliases, _INTROSPECTION)
    return address_of(metadata, _INTROSPECTION)


def address_of(metadata: Mapping[str, Any], name: str) -> str:
    """Return one of the addresses in the metadata. Raises FetchFailed: MALFORMED."""
    address = metadata.get(name)
    if not isinstance(address, str) or not address.isascii() or not address.isprintable():
        raise FetchFailed(FetchOutcome.MALFORMED, f"the discovery document names no {name}")
    return address
