"""What a provider's discovery document says beyond where the keys are (RFC 8414, 2)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sidecar.adapters.bounded_fetch import FetchFailed
from sidecar.core.issuer import ASYMMETRIC_ALGORITHMS
from sidecar.core.strict_json import NotStrictJSON, read_json_object
from sidecar.ports import FetchOutcome

_LONGEST = 2048


@dataclass(frozen=True, slots=True)
class ProviderMetadata:
    """A discovery document, read.

    ``algorithms`` are the asymmetric ones that ID tokens are signed with, empty where it names
    none: access tokens mostly are likewise, and no metadata say more of those.
    """

    issuer: str
    jwks_uri: str
    token_endpoint: str | None
    introspection_endpoint: str | None
    algorithms: frozenset[str]


def read_metadata(document: bytes) -> ProviderMetadata:
    """Read a discovery document, whoever's it is.

    Raises:
        FetchFailed: MALFORMED.
    """
    try:
        members = read_json_object(document)
    except NotStrictJSON as problem:
        raise FetchFailed(FetchOutcome.MALFORMED, f"discovery document: {problem}") from None
    issuer, jwks_uri = _url(members, "issuer"), _url(members, "jwks_uri")
    if issuer is None or jwks_uri is None:
        name = "issuer" if issuer is None else "jwks_uri"
        raise FetchFailed(FetchOutcome.MALFORMED, f"the discovery document names no {name}")
    return ProviderMetadata(
        issuer,
        jwks_uri,
        _url(members, "token_endpoint"),
        _url(members, "introspection_endpoint"),
        _algorithms(members),
    )


def _url(members: Mapping[str, Any], name: str) -> str | None:
    value = members.get(name)
    if not isinstance(value, str) or not value.isascii() or not value.isprintable():
        return None
    return value if 0 < len(value) <= _LONGEST and " " not in value else None


def _algorithms(members: Mapping[str, Any]) -> frozenset[str]:
    named = members.get("id_token_signing_alg_values_supported")
    if not isinstance(named, list):
        return frozenset()
    return frozenset(name for name in named if isinstance(name, str)) & ASYMMETRIC_ALGORITHMS
