"""A denied token as ``explain`` looks at it: what it says, and whose it seems to be."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from joserfc.util import urlsafe_b64decode

from sidecar.core.decision import Deny
from sidecar.core.evidence import Evidence
from sidecar.core.issuer import Issuer
from sidecar.core.strict_json import NotStrictJSON, read_json_object
from sidecar.settings.presets import recognize

_CLIENT_CLAIMS = ("azp", "appid", "cid", "client_id")
_LONGEST_SHOWN = 100


def shown(text: object) -> str:
    """Return unverified text fit for a terminal: escapes in it are an attack on its reader."""
    if not isinstance(text, str) or not text:
        return "missing"
    return text[:_LONGEST_SHOWN].encode("unicode_escape").decode("ascii")


@dataclass(frozen=True)
class Case:
    """A denial and what there is to look at.

    ``registered`` are those of ``other_names`` that have an account, ``now`` is in epoch seconds.
    """

    credential: str
    deny: Deny
    evidence: Evidence
    issuers: Mapping[str, Issuer]
    registered: Collection[str]
    now: float

    @cached_property
    def claims(self) -> Mapping[str, Any]:
        token = self.evidence.token
        return {} if token is None else token.sealed_claims

    @cached_property
    def header(self) -> Mapping[str, Any]:
        try:
            return read_json_object(urlsafe_b64decode(self.credential.split(".")[0].encode()))
        except (NotStrictJSON, ValueError):
            return {}

    @cached_property
    def audiences(self) -> list[str]:
        value = self.claims.get("aud")
        named = value if isinstance(value, list) else [value]
        return [each for each in named if isinstance(each, str) and each]

    @property
    def provider(self) -> str:
        """Return the preset whose issuers look like the token's; empty where none does."""
        return recognize(self.claims.get("iss")) or ""

    def has_issuer_of(self, provider: str) -> bool:
        return any(recognize(issuer) == provider for issuer in self.issuers)


def other_names(evidence: Evidence) -> list[str]:
    """Return other names of the token's client, which people register in place of its `sub`."""
    if evidence.claims is None:
        return []
    raw, subject = evidence.claims.raw, evidence.claims.subject
    names = [raw.get(name) for name in (*_CLIENT_CLAIMS, "preferred_username", "email")]
    names += [f"{subject}@clients", subject.removesuffix("@clients")]
    return sorted({name for name in names if isinstance(name, str) and name != subject})
