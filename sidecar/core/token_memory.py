"""What a connection remembers of its last token, so that the next request need not look it up.

Programs send the same token on one connection again and again. What is remembered is what any look
would find: the bearer as it was read, the verified claims with the generation of the keys, and who
that makes the caller, as long as the account is the very same object. The clock, the keys'
generation, the account and the route are judged on every request all the same.
"""

from dataclasses import dataclass

from sidecar.core.bearer import BearerToken
from sidecar.core.claims import Claims
from sidecar.core.confirmation import Demand, demand_of
from sidecar.core.issuer import Issuer
from sidecar.core.principal import Principal
from sidecar.core.subject import Account, SubjectKey
from sidecar.core.token import UnverifiedToken
from sidecar.core.verified_tokens import Digest, Remembered


@dataclass(slots=True)
class TokenMemory:
    """One token's. Make a new one whenever the ``Authorization`` lines are others.

    ``demand`` is what has to be shown with the token each time; None for a plain bearer, which is
    under the scheme ``Bearer``, and not ``as_dpop``. ``is_on_trial`` says that it was verified, and
    what it claims not yet found good.
    """

    bearer: BearerToken | None = None
    digest: Digest | None = None
    as_dpop: bool = False
    token: UnverifiedToken | None = None
    remembered: Remembered | None = None
    is_on_trial: bool = False
    demand: Demand | None = None
    key: SubjectKey | None = None
    account: Account | None = None
    principal: Principal | None = None

    def remember(self, remembered: Remembered) -> None:
        """Take note of what the token was found to be; who that was before is forgotten."""
        issuer, claims, _ = remembered
        self.demand = demand_of(claims.confirmation, issuer.binding, as_dpop=self.as_dpop)
        self.remembered = remembered
        self.key = claims.key(issuer)
        self.account = self.principal = None

    def take_answer(self, issuer: Issuer, claims: Claims) -> None:
        """Take note of what the issuer says just now, and of nothing that it said before.

        The next answer may have other scopes, or another subject: only what has to be shown with
        the token is kept, until then.
        """
        self.demand = demand_of(claims.confirmation, issuer.binding, as_dpop=self.as_dpop)
        self.remembered = self.key = self.account = self.principal = None
