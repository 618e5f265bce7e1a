"""What we remember of tokens: that the signature was good, or was not, and nothing else.

Result caches are an advisory class of their own (cached scope CVE-2021-32701, cached under the
wrong key CVE-2026-33496, cached beyond ``exp`` CWE-613). So only the signature is remembered, for
one generation of one issuer's keys; expiry, audience, scope and account are judged every time.
"""

import hashlib
import secrets
from collections import OrderedDict
from typing import NamedTuple, NewType

from sidecar.core.bearer import BearerToken
from sidecar.core.claims import Claims
from sidecar.core.decision import DenyReason
from sidecar.core.issuer import Issuer

Digest = NewType("Digest", bytes)
Remembered = tuple[Issuer, Claims, int]


class Refused(NamedTuple):
    """What keys of one generation of this issuer's found of a token."""

    issuer: str
    generation: int
    reason: DenyReason
    detail: str


# Strangers send these, so fewer are kept than of good ones.
_MAX_REFUSALS = 4096


class VerifiedTokens:
    """A bounded memory of claims by token, least recently used first out.

    Keyed by a keyed hash: the memory holds no token, and nobody outside can aim for a collision.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._key = secrets.token_bytes(32)
        self._remembered: OrderedDict[Digest, Remembered] = OrderedDict()
        self._on_trial: OrderedDict[Digest, Remembered] = OrderedDict()
        self._refused: OrderedDict[Digest, Refused] = OrderedDict()

    def __len__(self) -> int:
        return len(self._remembered)

    def digest(self, bearer: BearerToken) -> Digest:
        """Return what a token is remembered by. To make it costs more than to look it up."""
        octets = bearer.encode("ascii")
        return Digest(hashlib.blake2b(octets, digest_size=32, key=self._key).digest())

    def recall(self, digest: Digest) -> Remembered | None:
        """Return issuer, claims and key generation of a token seen before, or None.

        Whoever calls compares the generation: a token outlives the removal of its key no longer
        than the next look.
        """
        found = self._remembered.get(digest)
        if found is None:
            return self._on_trial.get(digest)
        self._remembered.move_to_end(digest)
        return found

    def remember(self, digest: Digest, issuer: Issuer, claims: Claims, generation: int) -> None:
        """Keep what ``verify_signature`` and ``read_claims`` found, among few until ``approve``.

        Else whoever has many tokens that are expired, or made for another audience, could have us
        forget all that are good.
        """
        self._on_trial[digest] = (issuer, claims, generation)
        if len(self._on_trial) > min(_MAX_REFUSALS, self._capacity):
            self._on_trial.popitem(last=False)

    def approve(self, digest: Digest) -> None:
        """Keep a token among the good ones: what it claims was found good, too."""
        found = self._on_trial.pop(digest, None)
        if found is not None:
            self._remembered[digest] = found
            if len(self._remembered) > self._capacity:
                self._remembered.popitem(last=False)

    def refusal(self, digest: Digest) -> Refused | None:
        """Return why the very same token was refused before, or None.

        Whoever calls compares the generation, as with ``recall``.
        """
        return self._refused.get(digest)

    def refuse(self, digest: Digest, refused: Refused) -> None:
        """Keep what ``verify_signature`` refused: to find it out again is dear.

        By the whole token, octet for octet: another spelling of it is another one.
        """
        self._refused[digest] = refused
        if len(self._refused) > min(_MAX_REFUSALS, self._capacity):
            self._refused.popitem(last=False)
