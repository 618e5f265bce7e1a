"""Token introspection (RFC 7662): which bearers are opaque, and what an answer is worth.

An answer is the issuer's own word, so it stands where a signature would; what it says is judged by
the same rules as a JWT's claims. It is read as strictly: who would sell an ``active`` that is the
text "true", or a refresh token, for an access token is not believed.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from joserfc.util import urlsafe_b64decode

from sidecar.core.bearer import BearerToken
from sidecar.core.decision import Denied, DenyReason
from sidecar.core.issuer import Issuer
from sidecar.core.strict_json import read_json_object

# RFC 6749, 7.1 and RFC 9449, 5. Some providers write what RFC 7009 calls a hint.
_TOKEN_TYPES = frozenset({"bearer", "dpop", "access_token"})
# Providers introspect their refresh and ID tokens too, and say so in these (Hydra, Keycloak).
_USES = {
    "token_use": frozenset({"access_token", "access"}),
    "typ": frozenset({"bearer", "dpop", "at+jwt", "application/at+jwt", "jwt"}),
}
# Of one token both must say the same; the other claims of a JWT are under its signature.
_SAME = ("sub", "jti", "client_id")


class NoAnswer(ValueError):
    """This is no answer of an introspection endpoint; the text quotes nothing of it."""


@dataclass(frozen=True, slots=True)
class IntrospectedToken:
    """A token that its issuer says is active. Made by ``check_active`` alone."""

    issuer: str
    claims: Mapping[str, Any] = field(repr=False)


def is_opaque(bearer: BearerToken) -> bool:
    """Say whether the bearer is no JWT at all, so that nothing in it names its issuer.

    Whatever begins with a JSON object is a JWT, if perhaps a broken or an encrypted one. Another
    issuer's token must not be shown to the one that takes opaque tokens.
    """
    head, dot, _ = bearer.partition(".")
    if not dot:
        return True
    if head.startswith("ey"):
        return False
    try:
        return not urlsafe_b64decode(head.encode("ascii")).lstrip().startswith(b"{")
    except ValueError:
        return True


def issuer_of(bearer: BearerToken, issuers: Iterable[Issuer]) -> Issuer | None:
    """Return which of ``issuers`` an opaque token is from, or None.

    By the longest prefix that it begins with. The settings see to it that no two are the same.
    """
    found: Issuer | None = None
    longest = -1
    for issuer in issuers:
        asked = issuer.introspection
        if asked is None or not bearer.startswith(asked.prefix) or len(asked.prefix) <= longest:
            continue
        found, longest = issuer, len(asked.prefix)
    return found


def read_answer(document: bytes) -> Mapping[str, Any] | None:
    """Return the members of an answer of which ``active`` is true, or None where it is false.

    RFC 7662, 2.2: ``active`` is REQUIRED, and a boolean.

    Raises:
        NoAnswer: it is neither.
    """
    try:
        members = read_json_object(document)
    except ValueError as problem:
        raise NoAnswer(str(problem)) from None
    active = members.get("active")
    if not isinstance(active, bool):
        raise NoAnswer("active is missing, or no boolean")
    return members if active else None


def check_active(answer: Mapping[str, Any] | None, issuer: Issuer) -> IntrospectedToken:
    """Return an opaque token's claims out of what its issuer answered.

    Raises:
        Denied: TOKEN_INACTIVE; CLAIMS_REFUSED where it is active but no access token;
            UNKNOWN_ISSUER where the answer names another issuer.
    """
    members = _check_access_token(answer, issuer)
    rules = issuer.introspection
    claims = dict(members)
    if rules is not None and rules.subject_claim != "sub":
        claims["sub"] = members.get(rules.subject_claim)
    return IntrospectedToken(issuer.name, claims)


def check_still_active(
    answer: Mapping[str, Any] | None, claims: Mapping[str, Any], issuer: Issuer
) -> None:
    """Judge what the issuer answered about a JWT whose ``claims`` are under its signature.

    Raises:
        Denied: as ``check_active``; CLAIMS_REFUSED also where the answer is about another token.
    """
    members = _check_access_token(answer, issuer)
    for name in _SAME:
        if name in members and name in claims and members[name] != claims[name]:
            raise Denied(DenyReason.CLAIMS_REFUSED, f"introspection: {name} is another's")
    if "cnf" in members and members["cnf"] != claims.get("cnf"):
        # RFC 9449, 6.2: the answer may bind what the token itself does not.
        raise Denied(DenyReason.CLAIMS_REFUSED, "introspection: cnf is not the token's")


def _check_access_token(answer: Mapping[str, Any] | None, issuer: Issuer) -> Mapping[str, Any]:
    if answer is None:
        raise Denied(DenyReason.TOKEN_INACTIVE, "the issuer says that it is not active")
    if "iss" in answer and answer["iss"] != issuer.name:
        raise Denied(DenyReason.UNKNOWN_ISSUER, "introspection: iss is not who was asked")
    _check_word(answer, "token_type", _TOKEN_TYPES)
    for name, words in _USES.items():
        _check_word(answer, name, words)
    return answer


def _check_word(answer: Mapping[str, Any], name: str, words: frozenset[str]) -> None:
    if name not in answer:
        return
    value = answer[name]
    if not isinstance(value, str) or value.lower() not in words:
        raise Denied(DenyReason.CLAIMS_REFUSED, f"introspection: {name} is not an access token's")
