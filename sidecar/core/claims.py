"""Claims: read once from a verified token, judged against the clock on every request."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sidecar.core.confirmation import Confirmation, read_confirmation
from sidecar.core.decision import Denied, DenyReason
from sidecar.core.groups import ACCOUNT_GROUPS, GroupRules
from sidecar.core.introspection import IntrospectedToken
from sidecar.core.issuer import SCOPE_CLAIMS, Issuer
from sidecar.core.principal import Caller
from sidecar.core.profile import Profile, check_needed, check_rfc9068
from sidecar.core.subject import SubjectKey, is_subject
from sidecar.core.token import VerifiedToken

MAX_TOKEN_ID_LENGTH = 512
_LAST_DATE = 2.0**53  # beyond it a double skips seconds
_MOST_QUOTED = 3
_LONGEST_QUOTED = 100
_CLIENT_CLAIMS = ("azp", "appid", "cid", "client_id")


@dataclass(frozen=True, slots=True)
class Claims:
    """What a verified token says, in types. Dates are epoch seconds (RFC 7519, 2 NumericDate).

    ``groups`` are those that a claim names, where the issuer's are taken from one. With a
    ``confirmation`` the token is no plain bearer.
    """

    issuer: str
    subject: str
    audiences: frozenset[str]
    scopes: frozenset[str]
    client_id: str
    expires_at: float
    not_before: float | None
    issued_at: float | None
    token_id: str | None
    raw: Mapping[str, Any] = field(repr=False)
    groups: tuple[str, ...] = ()
    confirmation: Confirmation | None = None

    def key(self, issuer: Issuer) -> SubjectKey:
        return SubjectKey(issuer.realm, self.subject)

    def caller(self, issuer: Issuer) -> Caller:
        return Caller(self.key(issuer), self.issuer, self.client_id, self.token_id)


def read_claims(
    token: VerifiedToken | IntrospectedToken,
    groups: GroupRules = ACCOUNT_GROUPS,
    scope_claims: Iterable[str] = SCOPE_CLAIMS,
) -> Claims:
    """Read the claims' shapes; absence of a required one is a failure.

    Raises:
        Denied: CLAIMS_REFUSED, its detail names the claim and never quotes it.
    """
    raw = token.claims
    expires_at = read_expiry(raw)
    subject = raw.get("sub")
    if not isinstance(subject, str) or not is_subject(subject):
        raise _refused("sub is missing, or not 1 to 255 visible ASCII characters")
    return Claims(
        issuer=token.issuer,
        subject=subject,
        audiences=frozenset(_strings(raw, "aud", split=False)),
        scopes=frozenset(
            scope for name in scope_claims for scope in _strings(raw, name, split=True)
        ),
        client_id=_client_id(raw),
        expires_at=expires_at,
        not_before=_date(raw, "nbf"),
        issued_at=_date(raw, "iat"),
        token_id=read_token_id(raw),
        raw=raw,
        groups=_groups(raw, groups),
        confirmation=read_confirmation(raw),
    )


def read_expiry(raw: Mapping[str, Any]) -> float:
    """Return ``exp``, in epoch seconds. Raises Denied(CLAIMS_REFUSED), also where it is missing."""
    expires_at = _date(raw, "exp")
    if expires_at is None:
        # RFC 9068, 2.2: exp is REQUIRED. Without it a leaked token is good for ever.
        raise _refused("exp is missing")
    return expires_at


def read_token_id(raw: Mapping[str, Any]) -> str | None:
    """Return ``jti``, or None where there is none. Raises Denied(CLAIMS_REFUSED)."""
    if "jti" not in raw:
        return None
    value = raw["jti"]
    if not isinstance(value, str) or not 0 < len(value) <= MAX_TOKEN_ID_LENGTH:
        raise _refused("jti is not a string of 1 to 512 characters")
    if not value.isprintable():
        raise _refused("jti has control characters or lone surrogates")
    return value


def check_claims(claims: Claims, issuer: Issuer, now: float) -> None:
    """Judge the claims as of ``now`` (epoch seconds).

    Raises:
        Denied: UNKNOWN_ISSUER, TOKEN_EXPIRED, TOKEN_NOT_YET_VALID, WRONG_AUDIENCE or
            CLAIMS_REFUSED.
    """
    if claims.issuer != issuer.name:
        raise Denied(DenyReason.UNKNOWN_ISSUER, "iss is not the issuer whose keys verified it")
    # RFC 7519, 4.1.4: "on or after which the JWT MUST NOT be accepted". So >=.
    if now >= claims.expires_at + issuer.leeway:
        raise Denied(DenyReason.TOKEN_EXPIRED, f"expired {now - claims.expires_at:.1f} s ago")
    if claims.not_before is not None and now < claims.not_before - issuer.leeway:
        raise Denied(DenyReason.TOKEN_NOT_YET_VALID, "nbf is in the future")
    if claims.issued_at is not None and now < claims.issued_at - issuer.leeway:
        raise Denied(DenyReason.TOKEN_NOT_YET_VALID, "iat is in the future")
    _check_audience(claims, issuer)
    for name, value in issuer.required_claims.items():
        if claims.raw.get(name) != value:
            raise _refused(f"{name} is not as required")
    if issuer.needed_claims:
        check_needed(claims.raw, issuer.needed_claims)
    if issuer.profile is Profile.RFC9068:
        check_rfc9068(claims.raw)


def _check_audience(claims: Claims, issuer: Issuer) -> None:
    if issuer.client_claim is not None:
        client = claims.raw.get(issuer.client_claim)
        if not isinstance(client, str) or client not in issuer.clients:
            told = repr(client[:_LONGEST_QUOTED]) if isinstance(client, str) else "no text"
            detail = f"{issuer.client_claim} is none of ours: {told}"
            raise Denied(DenyReason.WRONG_AUDIENCE, detail)
        if not issuer.audiences:
            return
    # RFC 7519, 4.1.3: a member of the list, whole and case-sensitive.
    if not issuer.audiences & claims.audiences:
        raise Denied(
            DenyReason.WRONG_AUDIENCE, f"aud names none of ours: {_quoted(claims.audiences)}"
        )


def _quoted(audiences: frozenset[str]) -> str:
    """Return what a verified token is for, so that whoever asks for it can be told."""
    names = [repr(each[:_LONGEST_QUOTED]) for each in sorted(audiences)[:_MOST_QUOTED]]
    more = ", ..." if len(audiences) > _MOST_QUOTED else ""
    return f"{', '.join(names) or 'none'}{more}"


def _date(raw: Mapping[str, Any], name: str) -> float | None:
    if name not in raw:
        return None
    value = raw[name]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _refused(f"{name} is not a number")
    if not 0 <= value <= _LAST_DATE:  # NaN and infinities fail this too
        raise _refused(f"{name} is out of range")
    return float(value)


def _strings(raw: Mapping[str, Any], name: str, *, split: bool) -> list[str]:
    value = raw.get(name)
    if value is None and name not in raw:
        return []
    if isinstance(value, str):
        # RFC 6749, 3.3: the delimiter is the space. str.split() without it would also part a name
        # at a no-break space or a line separator, and make two grants of one.
        return [word for word in value.split(" ") if word] if split else [value]
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return value
    raise _refused(f"{name} is neither a string nor a list of strings")


def _groups(raw: Mapping[str, Any], rules: GroupRules) -> tuple[str, ...]:
    try:
        return rules.of_claims(raw)
    except ValueError as problem:
        raise _refused(str(problem)) from None


def _client_id(raw: Mapping[str, Any]) -> str:
    for name in _CLIENT_CLAIMS:
        value = raw.get(name)
        if isinstance(value, str) and is_subject(value):
            return value
    return ""


def _refused(detail: str) -> Denied:
    return Denied(DenyReason.CLAIMS_REFUSED, detail)
