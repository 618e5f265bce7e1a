"""What the decision may ask beside keys and accounts, while requests wait."""

from dataclasses import dataclass, field

from sidecar.binding import Proofs
from sidecar.introspection import Introspector, NoIntrospection
from sidecar.status_lists import NoStatusLists, StatusLists


@dataclass(frozen=True, slots=True)
class IssuerServices:
    """What issuers say about their tokens, and what proves that a bound one is its sender's.

    Without ``proofs`` no DPoP proof is taken.
    """

    introspector: Introspector = field(default_factory=NoIntrospection)
    status_lists: StatusLists = field(default_factory=NoStatusLists)
    proofs: Proofs | None = None
