"""The usual mistakes with tokens and accounts, told by what a denied token says.

For whoever runs ``explain``. What is looked at may be forged: it only chooses a sentence, and is
quoted escaped. Clients are told nothing of it.
"""

from collections.abc import Callable, Iterator, Mapping

from sidecar.cli.denied import Case, shown
from sidecar.core.decision import DenyReason
from sidecar.core.profile import Profile
from sidecar.settings.presets import recognize

_GRAPH = ("https://graph.microsoft.com", "00000003-0000-0000-c000-000000000000")


def likely_mistakes(case: Case) -> Iterator[str]:
    """Return sentences that say what was probably done wrong, and how to mend it."""
    find = _FINDERS.get(case.deny.reason)
    if find is not None:
        yield from find(case)


def _unreadable(case: Case) -> Iterator[str]:
    if case.evidence.token is None:
        yield from _opaque(case)
        return
    typ, issuer = str(case.header.get("typ", "")).lower(), case.evidence.issuer
    if issuer is not None and issuer.profile is Profile.RFC9068 and typ in ("", "jwt"):
        yield (
            "RFC 9068 has `typ` at+jwt: switch the profile on at the provider (Auth0: the API's"
            " token profile; Keycloak: the client's access token type), or leave profile out"
        )
    elif typ == "application/okta-internal-at+jwt":
        yield (
            "this is a token of Okta's own (org) authorization server; request it from a custom"
            " one (/oauth2/default), or take preset: okta-org"
        )
    elif typ == "dpop+jwt":
        yield "this is a DPoP proof, which goes with an access token and is none"
    elif issuer is not None and typ and typ not in issuer.token_types:
        yield f"if the provider gives access tokens the typ {shown(typ)}, add it to token_types"


def _opaque(case: Case) -> Iterator[str]:
    parts = case.credential.count(".") + 1
    if case.credential.startswith(("hpk_", "xapi-")):
        yield "this is an API key of the gateway's, no access token of an identity provider"
    elif case.credential.startswith("ya29."):
        yield (
            "Google's access tokens are opaque; send an ID token made for this API"
            " (gcloud auth print-identity-token --audiences=...)"
        )
    elif parts in (1, 5) and case.has_issuer_of("auth0"):
        yield (
            "the token is opaque: Auth0 gives such a one where the token request names no"
            " audience; add audience=<the API's identifier> to it"
        )
    elif parts == 5:
        yield "the token is encrypted (JWE); have the provider sign tokens for this API instead"
    elif parts == 1:
        yield (
            "the token is opaque, or no token: have the provider issue JWT access tokens for this"
            " API, or ask it about tokens (introspection at the issuer)"
        )


def _unknown_issuer(case: Case) -> Iterator[str]:
    issuer = case.claims.get("iss")
    if not isinstance(issuer, str) or not issuer:
        yield "the token names no issuer"
        return
    for known in case.issuers:
        if known.rstrip("/") == issuer.rstrip("/"):
            yield f"only the slash at the end differs: write issuer: {shown(issuer)}"
            return
        if known.lower() == issuer.lower():
            yield f"only capital letters differ: write issuer: {shown(issuer)}"
            return
    if issuer == "accounts.google.com":
        yield "Google writes this issuer in old tokens; get one that has https:// in it"
    elif case.provider.startswith("entra"):
        yield from _entra_issuer(issuer, case)
    elif case.provider and case.has_issuer_of(case.provider):
        yield (
            f"the token is of another tenant or server of the same provider ({case.provider}):"
            " request it where this sidecar's issuer is, or add the issuer"
        )


def _entra_issuer(issuer: str, case: Case) -> Iterator[str]:
    tenant = issuer.split("/")[3]
    known = [each for each in case.issuers if (recognize(each) or "").startswith("entra")]
    if any(tenant in each for each in known):
        version, other = ("1", "2") if case.provider == "entra-v1" else ("2", "1")
        yield (
            f"this is a v{version}.0 token of the right tenant, and the issuer of v{other}.0 tokens"
            " is configured. Which one it is the API's registration decides"
            " (requestedAccessTokenVersion in its manifest), not the endpoint: change that, or take"
            " preset: entra, which means both"
        )
    elif known:
        yield (
            f"the token is of another tenant, {shown(tenant)}; request it at the tenant whose"
            " issuer is configured"
        )


def _wrong_audience(case: Case) -> Iterator[str]:
    issuer = case.evidence.issuer
    wanted = issuer.audiences if issuer is not None else frozenset[str]()
    for audience in case.audiences:
        if any(known.rstrip("/") == audience.rstrip("/") for known in wanted):
            yield f"only the slash at the end differs: add {shown(audience)} to audiences"
            return
        if any(f"api://{known}" == audience or known == f"api://{audience}" for known in wanted):
            yield (
                f"the same API by its other name: add {shown(audience)} to audiences (v1.0 tokens"
                " may name the URI, v2.0 tokens always name the client id)"
            )
            return
        if audience.rstrip("/") in _GRAPH:
            yield (
                "this token is for Microsoft Graph and verifies nowhere else; request it with"
                " scope=<client id of this API>/.default"
            )
            return
    found = list(_id_token(case))
    if found:
        yield from found
    elif case.provider == "keycloak" and set(case.audiences) <= {"account"}:
        yield (
            "Keycloak puts an API into `aud` only by an audience mapper: add one to the client (or"
            " a client scope), or name the clients with clients: [...]"
        )
    elif not case.audiences and issuer is not None and issuer.client_claim is None:
        yield (
            "the token has no `aud`: have the provider set one, or name the clients with"
            " client_claim and clients"
        )


def _claims_refused(case: Case) -> Iterator[str]:
    found = list(_id_token(case))
    if found:
        yield from found
    elif not case.claims.get("sub"):
        if case.provider == "keycloak":
            yield (
                "since Keycloak 25 `sub` comes with the client scope `basic`: add it to the client"
                " as a default scope"
            )
        else:
            yield "the provider puts no `sub` into this client's tokens, and accounts go by it"
    elif "ver" in case.deny.detail and case.provider.startswith("entra"):
        yield "the `ver` of the token and its issuer differ, which no token of Entra ID's does"
    elif "RFC 9068" in case.deny.detail:
        yield (
            "the provider's tokens do not keep RFC 9068: switch that on there (Auth0: the API's"
            " token profile), or leave profile out"
        )


def _id_token(case: Case) -> Iterator[str]:
    """Say so where the token has what ID tokens have (OpenID Connect Core 1.0, 2 and 3.1.3.6)."""
    claims = case.claims
    is_one = (
        claims.get("typ") == "ID"  # Keycloak
        or claims.get("token_use") == "id"  # Cognito
        or any(name in claims for name in ("nonce", "at_hash", "c_hash"))
        or "is missing or empty"
        in case.deny.detail  # the client, which Entra ID and Okta leave out
    )
    if is_one:
        yield (
            "this looks like an ID token, which tells a client who signed in; send the"
            " `access_token` of the token endpoint's answer"
        )


def _unknown_subject(case: Case) -> Iterator[str]:
    claims = case.evidence.claims
    if claims is None:
        return
    subject, entra = shown(claims.subject), case.provider.startswith("entra")
    if entra and claims.raw.get("oid") not in (None, claims.subject):
        yield (
            "this is a person's token: its `sub` and `oid` differ. A program gets its own by the"
            " client-credentials grant"
        )
        return
    for name in sorted(case.registered):
        yield (
            f"the account {shown(name)} is there, which is another name of this client:"
            f" the token's `sub` is {subject}; create that one, and delete the other"
        )
    if entra:
        yield (
            "in Entra ID `sub` is the object id of the service principal (the enterprise"
            " application); neither the client id nor the object id of the app registration is"
        )
    elif case.provider == "keycloak" and not case.registered:
        yield "in Keycloak `sub` is the id of the client's service-account user, not the client id"
    elif case.provider == "auth0" and not case.registered:
        yield "in Auth0 `sub` is the client id with @clients behind it"


def _clock(case: Case) -> Iterator[str]:
    dates = (_date(case, "iat"), _date(case, "nbf"))
    ahead = max(date - case.now for date in dates)
    if ahead > 0:
        yield (
            f"the token is from {ahead:.0f} s in the future by this machine's clock: set the clocks"
            " by NTP; a leeway of the issuer is for a few seconds"
        )


def _expired(case: Case) -> Iterator[str]:
    issued, ends = _date(case, "iat"), _date(case, "exp")
    if issued:
        yield (
            f"it was issued {case.now - issued:.0f} s ago, for {ends - issued:.0f} s; if it has"
            " just been issued, this machine's clock is ahead of the provider's"
        )


def _bad_signature(case: Case) -> Iterator[str]:
    if "nonce" in case.header:
        yield (
            "its header has a nonce: it is a token for Microsoft Graph, which verifies nowhere"
            " else; request it with scope=<client id of this API>/.default"
        )
    elif case.provider.startswith("entra") and case.deny.reason is DenyReason.UNKNOWN_KEY:
        yield (
            "an app registration with signing keys of its own has them at the keys' address with"
            " ?appid=<client id>: set that as jwks_url"
        )


def _date(case: Case, name: str) -> float:
    """Return a date of the token's in epoch seconds; 0 where it has none."""
    value = case.claims.get(name)
    return float(value) if isinstance(value, int | float) and 0 < value < 2**53 else 0.0


_FINDERS: Mapping[DenyReason, Callable[[Case], Iterator[str]]] = {
    DenyReason.TOKEN_UNREADABLE: _unreadable,
    DenyReason.UNKNOWN_ISSUER: _unknown_issuer,
    DenyReason.WRONG_AUDIENCE: _wrong_audience,
    DenyReason.CLAIMS_REFUSED: _claims_refused,
    DenyReason.SUBJECT_UNKNOWN: _unknown_subject,
    DenyReason.TOKEN_NOT_YET_VALID: _clock,
    DenyReason.TOKEN_EXPIRED: _expired,
    DenyReason.BAD_SIGNATURE: _bad_signature,
    DenyReason.UNKNOWN_KEY: _bad_signature,
}
