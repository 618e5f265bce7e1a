"""Nonces for DPoP proofs (RFC 9449, 8 and 9): made from a secret and the time, kept by nobody.

Whoever holds the secret makes the same ones, so any worker and any replica takes what another one
gave out.
"""

import hashlib
import hmac
from base64 import urlsafe_b64encode


class Nonces:
    """Makes and knows nonces.

    One is good for ``lifetime`` seconds at least, and twice that at most; the next one is known,
    too, as clocks differ.
    """

    def __init__(self, secret: bytes, lifetime: float) -> None:
        self._secret = secret
        self._lifetime = lifetime

    def current(self, now: float) -> str:
        """Return the nonce of now (epoch seconds): 32 characters of base64url."""
        return self._of(int(now // self._lifetime))

    def is_good(self, nonce: str, now: float) -> bool:
        """Say whether it is one of ours, of about now (epoch seconds)."""
        slot = int(now // self._lifetime)
        given = nonce.encode("utf-8", "replace")
        near = [self._of(each).encode() for each in (slot, slot - 1, slot + 1)]
        return any([hmac.compare_digest(given, each) for each in near])  # noqa: C419 - all of them: the time tells nothing

    def _of(self, slot: int) -> str:
        seal = hmac.new(self._secret, f"dpop-nonce:{slot}".encode(), hashlib.sha256).digest()
        return urlsafe_b64encode(seal[:24]).decode("ascii")
