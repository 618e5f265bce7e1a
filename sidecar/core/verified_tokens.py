"""What we remember of tokens: that the signature was good, or was not, and nothing else.

Result caches are an advisory class of their own (cached scope CVE-2021-32701, cached under the
wrong key CVE-2026-33496, cached beyond ``exp`` CWE-613). So only the signature is remembered, for
one generation of one issuer's keys; expiry, audience, scope and account are judged every time.
"""

import hashlib
import secrets
from collections import OrderedDict

from sidecar.core.bearer import BearerToken
from sidecar.core.claims import Claims
from sidecar.core.decision import DenyReason
from sidecar.core.issuer import Issuer

Remembered = tuple[Issuer, Claims, int]

# Strangers send these, so fewer are kept than of good ones.
_MAX_REFUSALS = 4096


class VerifiedTokens:
    """A bounded memory of claims by token, least recently used first out.

    Keyed by a keyed hash: the memory holds no token, and nobody outside can aim for a collision.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._key = secrets.token_bytes(32)
        self._remembered: OrderedDict[bytes, Remembered] = OrderedDict()
        self._refused: OrderedDict[bytes, tuple[int, DenyReason, str]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._remembered)

    def recall(self, bearer: BearerToken) -> Remembered | None:
        """Return issuer, claims and key generation of a token seen before, or None.

        Whoever calls compares the generation: a token outlives the removal of its key no longer
        than the next look.
        """
        digest = self._digest(bearer)
        found = self._remembered.get(digest)
        if found is not None:
            self._remembered.move_to_end(digest)
        return found

    def remember(
        self, bearer: BearerToken, issuer: Issuer, claims: Claims, generation: int
    ) -> None:
        """Keep what ``verify_signature`` and ``read_claims`` found."""
        self._remembered[self._digest(bearer)] = (issuer, claims, generation)
        if len(self._remembered) > self._capacity:
            self._remembered.popitem(last=False)

    def refusal(self, bearer: BearerToken, generation: int) -> tuple[DenyReason, str] | None:
        """Return why keys of this generation have refused the very same token before, or None."""
        if not self._refused:
            return None
        found = self._refused.get(self._digest(bearer))
        return found[1:] if found is not None and found[0] == generation else None

    def refuse(self, bearer: BearerToken, generation: int, reason: DenyReason, detail: str) -> None:
        """Keep what ``verify_signature`` refused: to find it out again is dear.

        By the whole token, octet for octet: another spelling of it is another one.
        """
        self._refused[self._digest(bearer)] = (generation, reason, detail)
        if len(self._refused) > min(_MAX_REFUSALS, self._capacity):
            self._refused.popitem(last=False)

    def _digest(self, bearer: BearerToken) -> bytes:
        return hashlib.blake2b(bearer.encode("ascii"), digest_size=32, key=self._key).digest()
