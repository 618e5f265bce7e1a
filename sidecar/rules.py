"""What decisions are made by: the settings, as the decision wants them."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from sidecar.admission import Limiter
from sidecar.core.issuer import Issuer
from sidecar.core.request import Ambiguity
from sidecar.core.routes import Routes
from sidecar.shedding import Shedder
from sidecar.turns import Turns


@dataclass(frozen=True, slots=True)
class Admission:
    """The ``shedder`` refuses before anything is done, the ``limiter`` some of what is granted.

    Tokens that are not remembered are verified when their ``turns`` have come.
    """

    shedder: Shedder | None = None
    limiter: Limiter | None = None
    turns: Turns | None = None


@dataclass(frozen=True, slots=True)
class Rules:
    """What the decision is made by. ``budget_seconds`` bounds the waiting for one decision.

    ``strict`` reads the account store for each decision instead of believing the view. A request
    has to get past ``admission`` as well.
    """

    routes: Routes
    issuers: Mapping[str, Issuer]
    tolerated: frozenset[Ambiguity] = frozenset()
    max_token_bytes: int = 8192
    budget_seconds: float = 5.0
    strict: bool = False
    admission: Admission = field(default_factory=Admission)
