"""What a decision has established so far, in the order of the checks."""

from dataclasses import dataclass

from sidecar.core.claims import Claims
from sidecar.core.decision import Deny, DenyReason
from sidecar.core.issuer import Issuer
from sidecar.core.routes import Route
from sidecar.core.subject import Standing
from sidecar.core.token import UnverifiedToken


@dataclass(slots=True)
class Evidence:
    """``explain`` prints it; a denial names the route and the caller out of it."""

    route: Route | None = None
    token: UnverifiedToken | None = None
    issuer: Issuer | None = None
    claims: Claims | None = None
    standing: Standing | None = None

    def deny(self, reason: DenyReason, detail: str) -> Deny:
        """Return the denial; it names the caller where the token's signature was good."""
        claims, issuer = self.claims, self.issuer
        caller = None if claims is None or issuer is None else claims.caller(issuer)
        return Deny(reason, detail, self.route, caller)
