"""What we demand of an issuer's tokens."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum, unique

from sidecar.core.confirmation import NOTHING_BOUND, BindingRules
from sidecar.core.groups import ACCOUNT_GROUPS, GroupRules
from sidecar.core.profile import Profile

# RFC 9864 and RFC 9964 names; "EdDSA" is the old name of Ed25519. No HS*, no none: a shared secret
# in a verifier could forge, and `none` is no signature (RFC 8725, 3.1 and 3.2).
ASYMMETRIC_ALGORITHMS = frozenset(
    {
        "RS256", "RS384", "RS512",
        "PS256", "PS384", "PS512",
        "ES256", "ES384", "ES512",
        "Ed25519", "EdDSA",
        "ML-DSA-44", "ML-DSA-65", "ML-DSA-87",
    }
)  # fmt: skip

# RFC 9068, 4: "at+jwt" or "application/at+jwt"; most providers still write "JWT".
ACCESS_TOKEN_TYPES = frozenset({"jwt", "at+jwt", "application/at+jwt"})

# RFC 9068, 2.2.3 has `scope`; Okta and Entra ID write `scp`.
SCOPE_CLAIMS = ("scope", "scp")


@unique
class Introspected(StrEnum):
    """Which bearers are introspected (RFC 7662); the value is a setting.

    ``OPAQUE``: those that are no JWT. ``OPAQUE_ONLY``: the same, and the issuer signs no JWTs.
    ``ALL``: JWTs too, once their signature was found good.
    """

    OPAQUE = "opaque"
    OPAQUE_ONLY = "opaque_only"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class IntrospectionRules:
    """Which tokens the issuer is asked about, and which member of the answer is the subject.

    Its opaque tokens are those that begin with ``prefix``; the empty one is every token's.
    """

    tokens: Introspected = Introspected.OPAQUE
    prefix: str = ""
    subject_claim: str = "sub"


@dataclass(frozen=True, slots=True)
class StatusListRules:
    """Where the issuer's status lists may be: each address begins with one of ``uris``."""

    uris: frozenset[str]
    required: bool = False


@dataclass(frozen=True, slots=True)
class Issuer:
    """One issuer and the rules for its tokens.

    ``name`` is compared with ``iss`` byte for byte. A token names one of ``audiences``, or, where
    ``client_claim`` is set (for providers whose tokens carry no ``aud``), that claim is one of
    ``clients``. ``token_types`` are lower-case; ``leeway`` is in seconds. The
    scopes are those of all ``scope_claims``; ``needed_claims`` have to be there, whatever they say.
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
    scope_claims: tuple[str, ...] = SCOPE_CLAIMS
    needed_claims: frozenset[str] = frozenset()
    profile: Profile = Profile.JWT
    binding: BindingRules = NOTHING_BOUND
    introspection: IntrospectionRules | None = None
    status_list: StatusListRules | None = None

    @property
    def signs_tokens(self) -> bool:
        """Whether it makes JWTs, so that there are keys to verify them by."""
        asked = self.introspection
        return asked is None or asked.tokens is not Introspected.OPAQUE_ONLY

    @property
    def introspects_all(self) -> bool:
        """Whether its JWTs are introspected too."""
        asked = self.introspection
        return asked is not None and asked.tokens is Introspected.ALL
