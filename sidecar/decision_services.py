"""Whom a decision may ask beside the keys and the accounts, while its request waits."""

from dataclasses import dataclass, field

from sidecar.binding import Proofs
from sidecar.introspection import Introspector, NoIntrospection
from sidecar.status_lists import NoStatusLists, StatusLists


@dataclass(frozen=True, slots=True)
class DecisionServices:
    """What issuers say of their tokens, and which proofs were used; None takes no DPoP proof."""

    introspector: Introspector = field(default_factory=NoIntrospection)
    status_lists: StatusLists = field(default_factory=NoStatusLists)
    proofs: Proofs | None = None
