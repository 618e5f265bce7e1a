"""Sender-constrained tokens: what a token is bound to, and what its bearer then has to show.

A token with a ``cnf`` claim (RFC 7800) is no bearer token: stolen, it is of no use without the key
(``jkt``, RFC 9449, 6) or the certificate (``x5t#S256``, RFC 8705, 3.1) that it names. So it is
never taken as a plain bearer unless the issuer's settings say so, and a member that we do not know
is refused like one that was not shown: whoever wrote it meant the token to be worth less.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum, unique
from typing import Any

from sidecar.core.decision import Denied, DenyReason

_KEY = "jkt"
_CERTIFICATE = "x5t#S256"
_KNOWN = frozenset({_KEY, _CERTIFICATE})

# base64url of a SHA-256 without padding; its last digit carries two bits that are zero, else one
# thumbprint would have several spellings.
_THUMBPRINT = re.compile(r"[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]")


@unique
class Binding(StrEnum):
    """Whether an issuer's tokens may or have to be bound in one way; the value is a setting."""

    OFF = "off"
    ALLOWED = "allowed"
    REQUIRED = "required"


@dataclass(frozen=True, slots=True)
class BindingRules:
    """How an issuer's tokens are bound.

    ``as_bearer`` takes a token as a plain bearer where its binding is one that is not checked.
    """

    dpop: Binding = Binding.OFF
    mtls: Binding = Binding.OFF
    as_bearer: bool = False


@dataclass(frozen=True, slots=True)
class Confirmation:
    """The ``cnf`` claim: the thumbprints that it names, and whether there is anything else in it.

    ``key`` is of a JWK (RFC 7638), ``certificate`` of the DER of an X.509 certificate.
    """

    key: str | None = None
    certificate: str | None = None
    has_others: bool = False


@dataclass(frozen=True, slots=True)
class Shown:
    """What came with a request beside its token.

    ``proofs`` holds the value of every ``DPoP`` line; ``certificate`` is the thumbprint of the
    client's certificate where a TLS handshake of ours, or a proxy that is trusted, vouches for it.
    """

    proofs: tuple[str, ...] = field(default=(), repr=False)
    certificate: str | None = None


@dataclass(frozen=True, slots=True)
class Demand:
    """What has to be shown with a token: the proof of a key, a certificate, or both.

    ``refusal`` is why nothing that could be shown would do.
    """

    key: str | None = None
    certificate: str | None = None
    refusal: tuple[DenyReason, str] | None = None

    @property
    def binding(self) -> str:
        """How the token is bound, for the log."""
        ways = (("dpop", self.key), ("mtls", self.certificate))
        return "+".join(name for name, thumbprint in ways if thumbprint is not None)


NOTHING_BOUND = BindingRules()


def read_confirmation(raw: Mapping[str, Any]) -> Confirmation | None:
    """Return what the claims confirm, or None where there is no ``cnf``.

    Raises:
        Denied: CLAIMS_REFUSED for one that is empty or malformed; the detail quotes nothing of it.
    """
    if "cnf" not in raw:
        return None
    members = raw["cnf"]
    if not isinstance(members, dict) or not members:
        raise Denied(DenyReason.CLAIMS_REFUSED, "cnf is not an object with members")
    return Confirmation(
        _thumbprint(members, _KEY),
        _thumbprint(members, _CERTIFICATE),
        has_others=not _KNOWN.issuperset(members),
    )


def demand_of(
    confirmation: Confirmation | None, rules: BindingRules, *, as_dpop: bool
) -> Demand | None:
    """Return what has to be shown with a token; None where it is a plain bearer, and may be one.

    ``as_dpop`` says that it came under the scheme ``DPoP``.
    """
    bound = confirmation or Confirmation()
    refusal = _refusal_of_members(bound, rules) or _refusal_of_scheme(bound, rules, as_dpop=as_dpop)
    if refusal is not None:
        return Demand(refusal=refusal)
    key = bound.key if rules.dpop is not Binding.OFF else None
    certificate = bound.certificate if rules.mtls is not Binding.OFF else None
    return None if key is None and certificate is None else Demand(key, certificate)


def _refusal_of_scheme(
    bound: Confirmation, rules: BindingRules, *, as_dpop: bool
) -> tuple[DenyReason, str] | None:
    if rules.dpop is Binding.OFF:
        detail = "the issuer's tokens are not taken as DPoP"
        return (DenyReason.BINDING_REFUSED, detail) if as_dpop else None
    if as_dpop and bound.key is None:
        # RFC 9449, 7.1: the token MUST be checked to be bound, else a proof by any key would do.
        return DenyReason.BINDING_MISSING, "scheme DPoP, and no cnf.jkt in the token"
    if bound.key is not None and not as_dpop:
        # RFC 9449, 7.2: a downgrade to Bearer would make a stolen token good again.
        return DenyReason.BINDING_REFUSED, "bound to a key, and presented as Bearer"
    return None


def _refusal_of_members(bound: Confirmation, rules: BindingRules) -> tuple[DenyReason, str] | None:
    if bound.has_others and not rules.as_bearer:
        return DenyReason.BINDING_REFUSED, "cnf has a member that is not known"
    for thumbprint, binding, name in (
        (bound.key, rules.dpop, "cnf.jkt"),
        (bound.certificate, rules.mtls, "cnf.x5t#S256"),
    ):
        if thumbprint is None and binding is Binding.REQUIRED:
            return DenyReason.BINDING_MISSING, f"the issuer's tokens need {name}"
        if thumbprint is not None and binding is Binding.OFF and not rules.as_bearer:
            return DenyReason.BINDING_REFUSED, f"{name} is not checked for this issuer"
    return None


def _thumbprint(members: Mapping[str, Any], name: str) -> str | None:
    if name not in members:
        return None
    value = members[name]
    if not isinstance(value, str) or not _THUMBPRINT.fullmatch(value):
        raise Denied(DenyReason.CLAIMS_REFUSED, f"cnf.{name} is no SHA-256 in base64url")
    return value
