"""Clients that prove who they are: keys of their own, and DPoP proofs made with them."""

import hashlib
from base64 import urlsafe_b64encode
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any

from sidecar.binding import Proofs
from sidecar.core.confirmation import Binding, BindingRules
from sidecar.core.dpop import ProofRules
from sidecar.core.issuer import Issuer
from sidecar.core.nonces import Nonces
from sidecar.core.routes import Route
from sidecar.fronts.shown import NOTHING_SHOWN, ShownRules
from sidecar.ports import StatusUnavailable
from tests.fakes.tokens import SigningKey, ec_key, seal
from tests.fakes.world import ISSUERS, NOW, ROUTES, World

URL = "https://api.example"
RULES = ProofRules((URL,), algorithms=frozenset({"ES256", "RS256", "Ed25519"}))
CLIENT = ec_key("client")
DPOP = BindingRules(dpop=Binding.ALLOWED)
MTLS = BindingRules(mtls=Binding.ALLOWED)

_numbers = count()


def encoded(digest: bytes) -> str:
    return urlsafe_b64encode(digest).rstrip(b"=").decode()


def hash_of(token: str) -> str:
    return encoded(hashlib.sha256(token.encode()).digest())


def jwk_of(key: SigningKey = CLIENT) -> dict[str, Any]:
    """Return the public key as the client writes it into its proofs."""
    members = key.public.as_dict(private=False)
    return {name: value for name, value in members.items() if name not in ("kid", "use", "alg")}


def jkt_of(key: SigningKey = CLIENT) -> str:
    return key.public.thumbprint()


def proof_of(
    token: str,
    method: str = "GET",
    path: str = "/reports",
    *,
    key: SigningKey = CLIENT,
    header: dict[str, Any] | None = None,
    **claims: Any,
) -> str:
    """Return a proof, good but for what is changed; a member of None is left out."""
    members = {"typ": "dpop+jwt", "alg": key.algorithm, "jwk": jwk_of(key), **(header or {})}
    said = {
        "jti": f"proof-{next(_numbers)}",
        "htm": method,
        "htu": f"{URL}{path}",
        "iat": NOW,
        "ath": hash_of(token),
        **claims,
    }
    return seal(
        {name: value for name, value in members.items() if value is not None},
        {name: value for name, value in said.items() if value is not None},
        key,
    )


@dataclass
class UsedMarks:
    """Implements ``binding.UsedProofs``: what was used, and for how long it is remembered."""

    seconds: dict[str, float] = field(default_factory=dict)
    is_down: bool = False

    async def use(self, mark: str, seconds: float) -> bool:
        if self.is_down:
            raise StatusUnavailable("down")
        first = mark not in self.seconds
        self.seconds[mark] = seconds
        return first


def bound_issuers(rules: BindingRules) -> Iterable[Issuer]:
    return tuple(replace(issuer, binding=rules) for issuer in ISSUERS)


def bound_world(
    rules: BindingRules = DPOP,
    *,
    nonces: Nonces | None = None,
    used: UsedMarks | None = None,
    shown: ShownRules = NOTHING_SHOWN,
    routes: Iterable[Route] = ROUTES,
) -> World:
    """Return a world whose issuer's tokens may be bound as these rules say."""
    takes_proofs = rules.dpop is not Binding.OFF
    return World(
        issuers=bound_issuers(rules),
        routes=routes,
        proofs=Proofs(RULES, used or UsedMarks(), nonces) if takes_proofs else None,
        shown=replace(
            shown, takes_proofs=takes_proofs, takes_certificates=rules.mtls is not Binding.OFF
        ),
    )
