"""Security event tokens, good but for what a test changes, and a memory of those taken."""

from collections.abc import Mapping
from typing import Any

from sidecar.core.issuer import Issuer
from sidecar.core.security_event import EVENT_TOKEN_TYPES, Transmitter
from tests.fakes.tokens import SigningKey, rsa_key, seal
from tests.fakes.world import ISSUER, NOW, REALM

TRANSMITTER = Transmitter(ISSUER, frozenset({"https://sidecar.example"}), {ISSUER: REALM})
SIGNER = Issuer(
    ISSUER, algorithms=frozenset({"RS256"}), token_types=EVENT_TOKEN_TYPES, type_required=True
)
CAEP = "https://schemas.openid.net/secevent/caep/event-type/"
RISC = "https://schemas.openid.net/secevent/risc/event-type/"
ROBOT_ID = {"format": "iss_sub", "iss": ISSUER, "sub": "robot"}


def event(
    kind: str = CAEP + "session-revoked", payload: Mapping[str, Any] | None = None, **claims: Any
) -> dict[str, Any]:
    """Return the claims of a token with one event; those changed to None are left out."""
    found = {
        "iss": ISSUER,
        "aud": "https://sidecar.example",
        "iat": NOW - 5,
        "jti": "event-1",
        "sub_id": ROBOT_ID,
        "events": {kind: {"event_timestamp": NOW - 6, **(payload or {})}},
        **claims,
    }
    return {name: value for name, value in found.items() if value is not None}


def signed(claims: Mapping[str, Any], key: SigningKey | None = None, **header: Any) -> str:
    """Return the token as a transmitter pushes it."""
    key = key or rsa_key()
    members = {"alg": key.algorithm, "kid": key.kid, "typ": "secevent+jwt", **header}
    return seal({name: each for name, each in members.items() if each is not None}, claims, key)


class FakeEventMemory:
    """Implements ``security_events.EventMemory``; raises ``failure`` if there is one."""

    def __init__(self) -> None:
        self.remembered: dict[tuple[str, str], float] = {}
        self.failure: Exception | None = None

    async def knows(self, transmitter: str, token_id: str) -> bool:
        self._fail()
        return (transmitter, token_id) in self.remembered

    async def remember(self, transmitter: str, token_id: str, seconds: float) -> None:
        self._fail()
        self.remembered[transmitter, token_id] = seconds

    def _fail(self) -> None:
        if self.failure is not None:
            raise self.failure
