"""Identity assertions: who is calling, signed, for an upstream that does not trust the network.

A JWT (RFC 7519) of a type of its own (RFC 8725, 3.11), so that it can be taken for no other token.
It is made once for a caller and told again for half of its life.
"""

import secrets
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from joserfc import jwt

from sidecar.adapters.assertion_keys import AssertionKeys
from sidecar.core.principal import Principal
from sidecar.ports import Clock

TYPE = "sidecar-identity+jwt"


@dataclass(frozen=True, slots=True)
class AssertionPolicy:
    """What an assertion says of itself. ``lifetime`` is in seconds, and never past the token's."""

    issuer: str
    audience: str
    lifetime: float = 60.0
    max_remembered: int = 10_000


class Assertions:
    """Makes assertions; implements ``core.identity_headers.Asserts``."""

    def __init__(self, policy: AssertionPolicy, keys: AssertionKeys, clock: Clock) -> None:
        self._policy = policy
        self._keys = keys
        self._clock = clock
        self._made: OrderedDict[Principal, tuple[str, float, float]] = OrderedDict()

    def assertion(self, principal: Principal) -> str:
        """Return an assertion that is good for half of its life or more."""
        now = self._clock.now()
        made = self._made.get(principal)
        # Also not from a time that the clock has been put back behind: it would last too long.
        if made is not None and made[1] <= now < made[2]:
            return made[0]
        text = self._sign(principal, now)
        self._made[principal] = text, now, now + self._policy.lifetime / 2
        self._made.move_to_end(principal)
        if len(self._made) > self._policy.max_remembered:
            self._made.popitem(last=False)
        return text

    def published(self) -> dict[str, Any]:
        """Return the keys that verify them, as a set (RFC 7517, 5)."""
        return self._keys.published(self._clock.now())

    def _sign(self, principal: Principal, now: float) -> str:
        key, algorithm = self._keys.signing(now), self._keys.algorithm
        header = {"alg": algorithm, "kid": key.thumbprint(), "typ": TYPE}
        return jwt.encode(header, self._claims(principal, now), key, algorithms=[algorithm])

    def _claims(self, principal: Principal, now: float) -> dict[str, Any]:
        policy = self._policy
        issued_at = int(now)
        return {
            "iss": policy.issuer,
            "aud": policy.audience,
            "sub": principal.key.subject,
            "iat": issued_at,
            "exp": min(issued_at + int(policy.lifetime), int(principal.expires_at)),
            "jti": secrets.token_hex(16),
            "realm": principal.key.realm,
            "name": principal.name,
            "groups": list(principal.groups),
            "scope": " ".join(sorted(principal.scopes)),
            "client_id": principal.client_id,
            "token_issuer": principal.issuer,
            "kind": principal.kind.value,
        }
