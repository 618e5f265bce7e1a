"""What issuers say about their tokens beside the tokens themselves, while requests wait."""

from dataclasses import dataclass, field

from sidecar.introspection import Introspector, NoIntrospection
from sidecar.status_lists import NoStatusLists, StatusLists


@dataclass(frozen=True, slots=True)
class IssuerServices:
    """Whom the decision may ask about a token."""

    introspector: Introspector = field(default_factory=NoIntrospection)
    status_lists: StatusLists = field(default_factory=NoStatusLists)
