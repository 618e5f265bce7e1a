"""What a denial says of how far the decision came."""

from sidecar.core.claims import Claims
from sidecar.core.decision import Deny, DenyReason
from sidecar.core.evidence import Evidence
from sidecar.core.issuer import Issuer
from sidecar.core.routes import Route

ISSUER = Issuer("https://idp.example", realm="corp")
CLAIMS = Claims(
    ISSUER.name, "robot", frozenset(), frozenset(), "c", 1.0, None, None, "t", {"sub": "robot"}
)
ROUTE = Route("all", "/**")


def test_before_the_signature_was_good_nobody_is_named() -> None:
    evidence = Evidence(route=ROUTE, issuer=ISSUER)

    assert evidence.deny(DenyReason.BAD_SIGNATURE, "why") == Deny(
        DenyReason.BAD_SIGNATURE, "why", ROUTE
    )


def test_after_it_the_caller_is() -> None:
    denied = Evidence(route=ROUTE, issuer=ISSUER, claims=CLAIMS).deny(
        DenyReason.TOKEN_EXPIRED, "why"
    )

    assert denied.caller == CLAIMS.caller(ISSUER)
