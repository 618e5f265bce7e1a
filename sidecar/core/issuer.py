"""What we demand of an issuer's tokens."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from sidecar.core.confirmation import NOTHING_BOUND, BindingRules
from sidecar.core.groups import ACCOUNT_GROUPS, GroupRules

# RFC 9864 names; "EdDSA" is the old name of Ed25519. No HS*, no none: a shared secret in a
# verifier could forge, and `none` is no signature (RFC 8725, 3.1 and 3.2).
ASYMMETRIC_ALGORITHMS = frozenset(
    {
        "RS256", "RS384", "RS512",
        "PS256", "PS384", "PS512",
        "ES256", "ES384", "ES512",
        "Ed25519", "EdDSA",
    }
)  # fmt: skip

# RFC 9068, 4: "at+jwt" or "application/at+jwt"; most providers still write "JWT".
ACCESS_TOKEN_TYPES = frozenset({"jwt", "at+jwt", "application/at+jwt"})


@dataclass(frozen=True, slots=True)
class Issuer:
    """One issuer and the rules for its tokens.

    ``name`` is compared with ``iss`` byte for byte. A token names one of ``audiences``, or, where
    ``client_claim`` is set (for providers whose tokens carry no ``aud``), that claim is one of
    ``clients``. ``token_types`` are lower-case; ``leeway`` is in seconds.
    """

    name: str
    realm: str = "default"
    algorithms: frozenset[str] = frozenset({"RS256"})
    audiences: frozenset[str] = frozenset()
    client_claim: str | None = None
    clients: frozenset[str] = frozenset()
    token_types: frozenset[str] = ACCESS_TOKEN_TYPES
    type_required: bool = False
    kid_optional: bool = False
    leeway: float = 0.0
    required_claims: Mapping[str, str] = field(default_factory=dict)
    groups: GroupRules = ACCOUNT_GROUPS
    binding: BindingRules = NOTHING_BOUND
