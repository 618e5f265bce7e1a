"""The credential: whose token is it, and did its issuer make it?

The part of THE decision that looks at the token alone. A signature once found good is remembered;
what was remembered counts only under the very same keys and rules.
"""

from collections.abc import Mapping
from typing import Any

from sidecar.core.bearer import BearerToken, is_dpop, read_bearer
from sidecar.core.claims import Claims, read_claims
from sidecar.core.confirmation import Binding
from sidecar.core.decision import Denied, DenyReason
from sidecar.core.evidence import Evidence
from sidecar.core.introspection import check_active, check_still_active, is_opaque, issuer_of
from sidecar.core.issuer import Issuer
from sidecar.core.request import AccessRequest
from sidecar.core.status_list import check_status, read_reference
from sidecar.core.token import (
    UnverifiedToken,
    VerifiedToken,
    check_header,
    read_token,
    verify_signature,
)
from sidecar.core.token_memory import TokenMemory
from sidecar.core.verified_tokens import Digest, Refused, VerifiedTokens
from sidecar.ports import KeySource
from sidecar.status_lists import StatusLists
from sidecar.turns import Turns
from sidecar.wanted import Asked, TurnWanted, Wanted

_DOTS = 2  # of a JWS in compact serialization


class TokenVerifier:
    """Finds out what a bearer is worth. Holds nothing but the memory of verified signatures."""

    def __init__(
        self,
        issuers: Mapping[str, Issuer],
        max_token_bytes: int,
        keys: KeySource,
        remembered: VerifiedTokens,
        status_lists: StatusLists,
        turns: Turns | None = None,
    ) -> None:
        self._issuers = issuers
        self._take_opaque = tuple(each for each in issuers.values() if each.introspection)
        self._max_token_bytes = max_token_bytes
        self._keys = keys
        self._remembered = remembered
        self._takes_dpop = any(each.binding.dpop is not Binding.OFF for each in issuers.values())
        self._status_lists = status_lists
        self._turns = turns

    def verified(
        self, request: AccessRequest, memory: TokenMemory, asked: Asked, evidence: Evidence
    ) -> tuple[Issuer, Claims]:
        """Return the bearer's issuer and what its token claims.

        Raises:
            Denied: the token is none of ours.
            Wanted: keys have to be fetched, or the issuer has to be asked, first.
        """
        bearer = memory.bearer
        if bearer is None:
            bearer = memory.bearer = self._read_bearer(request, memory)
        remembered = memory.remembered or self._remembered.recall(self._digest(bearer, memory))
        if remembered is not None:
            issuer, claims, generation = remembered
            keys = self._keys.keys(issuer.name)
            # Also by the same rules: what an issuer was trusted with before is no argument now.
            if (
                keys is not None
                and keys.generation == generation
                and self._issuers.get(issuer.name) is issuer
            ):
                if memory.remembered is None:
                    memory.remember(remembered)
                return issuer, claims
            memory.remembered = None
        return self._verified_anew(bearer, memory, asked, evidence)

    def approve(self, memory: TokenMemory) -> None:
        """Take note that what the token claims is good, too."""
        memory.is_on_trial = False
        assert memory.digest is not None  # noqa: S101 - it was verified
        self._remembered.approve(memory.digest)

    def _verified_anew(
        self, bearer: BearerToken, memory: TokenMemory, asked: Asked, evidence: Evidence
    ) -> tuple[Issuer, Claims]:
        if memory.token is None and self._take_opaque and is_opaque(bearer):
            return self._introspected(bearer, memory, asked, evidence)
        self._await_turn(bearer, memory, asked)
        token = memory.token = memory.token or read_token(bearer)
        evidence.token = token
        found = self._issuers.get(token.issuer)
        if found is None:
            raise Denied(DenyReason.UNKNOWN_ISSUER, "iss is not a configured issuer")
        evidence.issuer = found
        if not found.signs_tokens:
            raise Denied(DenyReason.TOKEN_UNREADABLE, "the issuer's tokens are opaque")
        check_header(token, found)
        digest = self._digest(bearer, memory)
        verified = self._verify(digest, token, found, asked)
        claims = read_claims(verified, found.groups, found.scope_claims)
        self._remembered.remember(digest, found, claims, verified.generation)
        memory.remember((found, claims, verified.generation))
        memory.is_on_trial = True
        return found, claims

    def _await_turn(self, bearer: BearerToken, memory: TokenMemory, asked: Asked) -> None:
        # What has not the shape of a token is refused sooner than it could wait.
        if self._turns is None or asked.has_turn or bearer.count(".") != _DOTS:
            return
        if not self._is_refused(self._digest(bearer, memory)) and not self._turns.take():
            raise TurnWanted

    def _is_refused(self, digest: Digest) -> bool:
        refused = self._remembered.refusal(digest)
        keys = None if refused is None else self._keys.keys(refused.issuer)
        return refused is not None and keys is not None and keys.generation == refused.generation

    def _digest(self, bearer: BearerToken, memory: TokenMemory) -> Digest:
        digest = memory.digest
        if digest is None:
            digest = memory.digest = self._remembered.digest(bearer)
        return digest

    def _read_bearer(self, request: AccessRequest, memory: TokenMemory) -> BearerToken:
        bearer = read_bearer(
            request.authorization, self._max_token_bytes, takes_dpop=self._takes_dpop
        )
        memory.as_dpop = is_dpop(request.authorization[0])
        return bearer

    def check_with_issuer(
        self, memory: TokenMemory, claims: Claims, issuer: Issuer, asked: Asked
    ) -> None:
        """Judge a token by its issuer's answer and status list too, where the settings say so.

        Raises:
            Denied: it is not active any more, not valid, or does not say where its status is.
            Wanted: the issuer has to be asked, or the list fetched, first.
        """
        if issuer.introspection is not None:
            self._check_still_active(memory, claims, issuer, asked)
        if issuer.status_list is not None:
            self._check_status(claims, issuer)

    def _check_still_active(
        self, memory: TokenMemory, claims: Claims, issuer: Issuer, asked: Asked
    ) -> None:
        # What was introspected to be read is not asked about twice.
        if issuer.introspects_all and memory.remembered is not None and memory.bearer is not None:
            check_still_active(_answer(memory.bearer, issuer, asked), claims.raw, issuer)

    def _check_status(self, claims: Claims, issuer: Issuer) -> None:
        reference = read_reference(claims, issuer)
        if reference is None:
            return
        found = self._status_lists.look_up(issuer.name, reference.uri)
        if found is None:
            raise Wanted(
                DenyReason.STATUS_LIST_UNAVAILABLE,
                "status list",
                status_list=(issuer.name, reference.uri),
            )
        check_status(found, reference)

    def _introspected(
        self, bearer: BearerToken, memory: TokenMemory, asked: Asked, evidence: Evidence
    ) -> tuple[Issuer, Claims]:
        issuer = issuer_of(bearer, self._take_opaque)
        if issuer is None:
            raise Denied(DenyReason.UNKNOWN_ISSUER, "no issuer's opaque tokens begin so")
        evidence.issuer = issuer
        token = check_active(_answer(bearer, issuer, asked), issuer)
        claims = read_claims(token, issuer.groups, issuer.scope_claims)
        memory.take_answer(issuer, claims)
        return issuer, claims

    def _verify(
        self, digest: Digest, token: UnverifiedToken, issuer: Issuer, asked: Asked
    ) -> VerifiedToken:
        keys = self._keys.keys(issuer.name)
        if keys is None:
            if asked.keys:
                raise Denied(DenyReason.KEYS_UNAVAILABLE, "the issuer's keys are not loaded")
            raise Wanted(DenyReason.KEYS_UNAVAILABLE, "keys", keys=(issuer.name, None))
        refused = self._remembered.refusal(digest)
        if refused is None or refused.generation != keys.generation:
            try:
                return verify_signature(token, keys, issuer)
            except Denied as denied:
                # A bad signature is dear (RSA); the same keys need not say no to it twice.
                refused = Refused(issuer.name, keys.generation, denied.reason, denied.detail)
                self._remembered.refuse(digest, refused)
        raise self._second_thought(refused.reason, refused.detail, token, issuer, asked)

    def _second_thought(
        self,
        reason: DenyReason,
        detail: str,
        token: UnverifiedToken,
        issuer: Issuer,
        asked: Asked,
    ) -> Denied | Wanted:
        """Return what to raise where the provider may have rotated its keys in the meantime."""
        if not asked.keys and not self._keys.is_resting(issuer.name, token.kid):
            # Also for a bad signature: a provider may put new key material under an old kid.
            # While it has not answered, the absence of a key proves nothing.
            if reason is DenyReason.UNKNOWN_KEY:
                reason = DenyReason.KEYS_UNAVAILABLE
            return Wanted(reason, detail, keys=(issuer.name, token.kid))
        if reason is DenyReason.UNKNOWN_KEY and self._keys.is_unsettled(issuer.name, token.kid):
            detail = "unknown kid, and the provider was not asked"
            return Denied(DenyReason.KEYS_UNAVAILABLE, detail)
        return Denied(reason, detail)


def _answer(bearer: BearerToken, issuer: Issuer, asked: Asked) -> Mapping[str, Any] | None:
    if not asked.is_answered:
        raise Wanted(
            DenyReason.INTROSPECTION_UNAVAILABLE,
            "introspection",
            introspection=(issuer.name, bearer),
        )
    return asked.answer
