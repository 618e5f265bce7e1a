"""Revoking tokens that are still valid: one, all of a subject, all of a realm.

Each is one write to the store, which pushes it to every sidecar, and one audit record.

Rounding (RFC 7519, 2: a NumericDate may have fractions, but providers write ``iat`` in whole
seconds). What was issued within the second in which the revocation falls may be older than it, and
nothing in the token says whether it is. So that whole second is refused: ``not_before`` is the next
full second, and whoever gets a token then, or later, gets in. A program that asks for a new token
at once may have to ask again within a second.

The second is that of the clock of whoever revokes. Where the provider's is behind, new tokens are
refused until it has caught up. Where it is ahead, tokens that it issued just before the revocation
outlive it, by as much as the issuer's leeway lets through: to be sure of a subject, disable it.
"""

from collections.abc import Mapping
from dataclasses import replace
from math import floor

from sidecar.core.bearer import BearerToken, read_bearer
from sidecar.core.claims import Claims, read_claims
from sidecar.core.decision import Denied, DenyReason
from sidecar.core.introspection import check_active, is_opaque, issuer_of
from sidecar.core.issuer import Issuer
from sidecar.core.subject import Account, SubjectKey
from sidecar.core.token import (
    UnverifiedToken,
    VerifiedToken,
    check_header,
    read_token,
    verify_signature,
)
from sidecar.introspection import IntrospectionUnavailable, Introspector, NoIntrospection
from sidecar.ports import (
    AccountNotFound,
    AccountStore,
    Auditor,
    AuditRecord,
    Clock,
    Contended,
    KeySource,
)

# A token is accepted for its issuer's leeway beyond `exp` (at most 300 s), and the store forgets by
# its own clock: forgotten too early, the token would be good again.
MARGIN_SECONDS = 600.0
_LEAST_SECONDS = 1.0
_MAX_TRIES = 16

# What a fetch of the keys may change: also a bad signature, by new key material under an old kid.
_MAY_BE_ROTATED = frozenset(
    {DenyReason.KEYS_UNAVAILABLE, DenyReason.UNKNOWN_KEY, DenyReason.BAD_SIGNATURE}
)


class Revocations:
    """The use cases. ``actor`` is who the audit record names.

    Every method raises ``ports.StatusUnavailable`` when the store does not answer; whether the
    write was carried out is then not known, and revoking again does no harm.
    """

    def __init__(self, store: AccountStore, clock: Clock, auditor: Auditor, *, actor: str) -> None:
        self._store = store
        self._clock = clock
        self._auditor = auditor
        self._actor = actor

    async def revoke_subject_tokens(self, key: SubjectKey, at: float | None = None) -> Account:
        """Refuse every token that the subject has by now; the account stays as it is.

        ``at`` (epoch seconds) says by when instead, where that is in the past.

        Raises:
            AccountNotFound: there is none, so its tokens are refused already. Where a route
                forwards the unregistered, make the account inactive instead.
            Contended: others kept changing the account.
        """
        for _ in range(_MAX_TRIES):
            before = await self._store.get(key)
            if before is None:
                raise AccountNotFound(key)
            now = self._clock.now()
            after = replace(
                before,
                not_before=max(before.not_before, next_second(now if at is None else at)),
                updated_at=now,
                updated_by=self._actor,
            )
            if await self._store.put(key, after, expected=before) is not None:
                self._auditor.audited(
                    AuditRecord(now, self._actor, "revoke_subject_tokens", key, before, after)
                )
                return after
        raise Contended(f"{key.subject}: others kept changing it; nothing was written, try again")

    async def revoke_token(self, realm: str, token_id: str, expires_at: float) -> None:
        """Refuse the token with this ``jti``, which expires at ``expires_at`` (epoch seconds)."""
        now = self._clock.now()
        until = max(expires_at + MARGIN_SECONDS, now + _LEAST_SECONDS)
        await self._store.revoke_token(realm, token_id, until)
        key = SubjectKey(realm, "")
        self._auditor.audited(
            AuditRecord(now, self._actor, "revoke_token", key, token_id=token_id, until=until)
        )

    async def revoke_realm_tokens(self, realm: str) -> float:
        """Refuse every token that anybody of the realm has by now; return its ``not_before``."""
        now = self._clock.now()
        in_force = await self._store.set_realm_not_before(realm, next_second(now))
        key = SubjectKey(realm, "")
        self._auditor.audited(
            AuditRecord(now, self._actor, "revoke_realm_tokens", key, not_before=in_force)
        )
        return in_force


class TokenVerifier:
    """Says whose a presented token is, by its signature alone: an expired one is known too.

    Audience and dates are not asked for: to revoke a token that is of no use does no harm. What an
    opaque token is, its issuer says.
    """

    def __init__(
        self,
        keys: KeySource,
        issuers: Mapping[str, Issuer],
        max_token_bytes: int,
        introspector: Introspector | None = None,
    ) -> None:
        self._keys = keys
        self._issuers = issuers
        self._introspector = introspector or NoIntrospection()
        self._max_token_bytes = max_token_bytes

    async def verify(self, text: str) -> tuple[Issuer, Claims]:
        """Return the issuer that signed the token, and the claims.

        Raises:
            Denied: KEYS_UNAVAILABLE or INTROSPECTION_UNAVAILABLE where nobody can say now; any
                other reason where the token is none that the sidecar would let in.
        """
        bearer = read_bearer((f"Bearer {text}",), self._max_token_bytes)
        taker = issuer_of(bearer, self._issuers.values()) if is_opaque(bearer) else None
        if taker is not None:
            return taker, await self._introspected(bearer, taker)
        token = read_token(bearer)
        issuer = self._issuers.get(token.issuer)
        if issuer is None:
            raise Denied(DenyReason.UNKNOWN_ISSUER, "iss is not a configured issuer")
        return issuer, read_claims(await verify_fresh(token, issuer, self._keys))

    async def _introspected(self, bearer: BearerToken, issuer: Issuer) -> Claims:
        try:
            answer = await self._introspector.introspect(issuer.name, bearer)
        except IntrospectionUnavailable as unavailable:
            raise Denied(DenyReason.INTROSPECTION_UNAVAILABLE, str(unavailable)) from None
        return read_claims(check_active(answer, issuer))


async def verify_fresh(token: UnverifiedToken, issuer: Issuer, keys: KeySource) -> VerifiedToken:
    """Verify a token beside the requests; its provider may have rotated its keys in the meantime.

    Raises:
        Denied: KEYS_UNAVAILABLE where nobody can say now, or as ``verify_signature`` does.
    """
    check_header(token, issuer)
    try:
        return _verify(token, issuer, keys)
    except Denied as denied:
        if denied.reason not in _MAY_BE_ROTATED:
            raise
    await keys.refresh(issuer.name, token.kid)
    try:
        return _verify(token, issuer, keys)
    except Denied as denied:
        if denied.reason is DenyReason.UNKNOWN_KEY and keys.is_unsettled(issuer.name, token.kid):
            raise Denied(DenyReason.KEYS_UNAVAILABLE, "the provider was not asked") from None
        raise


def _verify(token: UnverifiedToken, issuer: Issuer, keys: KeySource) -> VerifiedToken:
    found = keys.keys(issuer.name)
    if found is None:
        raise Denied(DenyReason.KEYS_UNAVAILABLE, "the issuer's keys are not loaded")
    return verify_signature(token, found, issuer)


def next_second(now: float) -> float:
    """Return the first full second after the one that ``now`` (epoch seconds) falls into."""
    return floor(now) + 1.0
