"""Identity providers as they are: what settings need not say of an issuer, because it is known.

A preset makes the issuer out of what people know (tenant, domain, user pool) and fills in how the
provider's tokens look. Whatever is set beside it outweighs it; ``required_claims`` add up.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from sidecar.core.profile import Profile

PresetName = Literal[
    "entra", "entra-v1", "entra-v2", "okta", "okta-org", "auth0", "cognito", "keycloak",
    "jumpcloud", "google", "oidc",
]  # fmt: skip

_GUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_HOST = r"[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?"
_POOL = r"[a-z]{2}(?:-[a-z]+)+-[0-9]+_[A-Za-z0-9]+"

# Clocks that are kept by NTP differ by less. Entra ID dates its tokens back by minutes, so there
# it would only prolong them.
_LEEWAY = 2.0


@dataclass(frozen=True, slots=True)
class Part:
    """A value that an issuer is made of: what it looks like, also in words."""

    shape: str
    expected: str
    default: str = ""

    def fits(self, value: object) -> bool:
        return isinstance(value, str) and re.fullmatch(self.shape, value) is not None


PARTS: Mapping[str, Part] = {
    "tenant": Part(
        _GUID,
        "the directory (tenant) id, such as 00000000-0000-0000-0000-000000000000, in lower case;"
        " neither a domain name nor common or organizations ever stands in a token",
    ),
    "domain": Part(
        _HOST, "a host name such as acme.okta.com or acme.eu.auth0.com, without https:// and path"
    ),
    "server": Part(
        r"[A-Za-z0-9_-]{1,64}", "the authorization server's id, such as default", "default"
    ),
    "pool": Part(_POOL, "the user pool's id, such as eu-west-1_AbCdEfGhI"),
}


@dataclass(frozen=True, slots=True)
class Preset:
    """One provider's issuers and tokens.

    ``issuer`` is a pattern over ``parts``, empty where only the user knows it; ``shape`` is what
    each of its issuers looks like, ``looks`` the same in words. ``jwks_url`` and ``audience`` are
    patterns over the shape's groups; without the first the keys are found by discovery.
    ``client_claim`` names the client; where tokens have no audience it has to be judged, else
    where ``clients`` are set. ``twin`` is the preset of another issuer that is meant as well.
    """

    shape: str
    looks: str
    parts: tuple[str, ...] = ()
    issuer: str = ""
    jwks_url: str | None = None
    audience: str | None = None
    client_claim: str = "client_id"
    has_audience: bool = True
    defaults: Mapping[str, Any] = field(default_factory=dict)
    twin: str | None = None

    def fits(self, issuer: str) -> bool:
        """Say whether this may be an issuer of the provider."""
        return re.fullmatch(self.shape, issuer) is not None

    def parts_of(self, issuer: str) -> dict[str, str]:
        """Return what makes this issuer; nothing where it is not made of parts alone."""
        found = re.fullmatch(self.shape, issuer)
        groups = {} if found is None else found.groupdict()
        parts = {name: groups[name] for name in self.parts if name in groups}
        return parts if self.made_of(parts) == issuer else {}

    def fill_in(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the settings with what is known put under them.

        The issuer is left empty where its parts are no good: that is said at their own places.
        """
        parts = {name: given.get(name) or PARTS[name].default for name in self.parts}
        if given.get("issuer") is not None:
            parts = {name: given[name] for name in self.parts if given.get(name) is not None}
        filled: dict[str, Any] = {"issuer": self.made_of(parts)} if self.issuer else {}
        filled |= self._known_of(given.get("issuer") or filled.get("issuer"))
        filled |= self._of_tokens(given)
        required = filled.get("required_claims", {})
        filled |= {**given, **parts}
        if isinstance(given.get("required_claims"), Mapping):
            filled["required_claims"] = {**required, **given["required_claims"]}
        return filled

    def made_of(self, parts: Mapping[str, Any]) -> str:
        """Return the issuer that these parts make; empty unless all are there, and good."""
        if not all(PARTS[name].fits(parts.get(name)) for name in self.parts):
            return ""
        region, _, _ = str(parts.get("pool", "")).partition("_")
        return self.issuer.format(region=region, **{name: parts[name] for name in self.parts})

    def _known_of(self, issuer: Any) -> dict[str, Any]:
        found = re.fullmatch(self.shape, issuer) if isinstance(issuer, str) else None
        if found is None:
            return {}
        groups = {"issuer": issuer, **found.groupdict()}
        known: dict[str, Any] = {}
        if self.jwks_url is not None:
            known["jwks_url"] = self.jwks_url.format(**groups)
        if self.audience is not None:
            known["audiences"] = (self.audience.format(**groups),)
        return known

    def _of_tokens(self, given: Mapping[str, Any]) -> dict[str, Any]:
        known = dict(self.defaults)
        client_claim = self.client_claim
        if given.get("profile") == Profile.RFC9068:
            # It says itself what a token has to have, and that the client is client_id.
            client_claim = "client_id"
            known = {n: v for n, v in known.items() if n not in ("token_types", "needed_claims")}
        if given.get("clients") or not self.has_audience:
            known["client_claim"] = client_claim
        return known


_PRESETS: Mapping[str, Preset] = {
    # Which of its two issuers a token has is the API's own setting in Entra ID, whatever endpoint
    # the client asked: so `entra` means both. An ID token has no azp or appid, an application's
    # permissions are in `roles`, those that a person delegated in `scp`.
    "entra-v2": Preset(
        shape=rf"https://(?P<host>login\.(?:partner\.)?microsoftonline\.[a-z]+)/(?P<tenant>{_GUID})/v2\.0",
        looks="https://login.microsoftonline.com/<tenant>/v2.0, without a slash at its end",
        parts=("tenant",),
        issuer="https://login.microsoftonline.com/{tenant}/v2.0",
        jwks_url="https://{host}/{tenant}/discovery/v2.0/keys",
        client_claim="azp",
        defaults={
            "token_types": ("jwt",),
            "needed_claims": ("azp",),
            "required_claims": {"ver": "2.0"},
            "scope_claims": ("roles", "scp"),
        },
    ),
    "entra-v1": Preset(
        shape=rf"https://sts\.windows\.net/(?P<tenant>{_GUID})/",
        looks="https://sts.windows.net/<tenant>/, with a slash at its end",
        parts=("tenant",),
        issuer="https://sts.windows.net/{tenant}/",
        jwks_url="https://login.microsoftonline.com/{tenant}/discovery/keys",
        client_claim="appid",
        defaults={
            "token_types": ("jwt",),
            "needed_claims": ("appid",),
            "required_claims": {"ver": "1.0"},
            "scope_claims": ("roles", "scp"),
        },
    ),
    # Access tokens name their client in cid, ID tokens do not; sub is the client id.
    "okta": Preset(
        shape=rf"https://(?P<domain>{_HOST})/oauth2/(?P<server>[A-Za-z0-9_-]+)",
        looks="https://<domain>/oauth2/<server>, without a slash at its end",
        parts=("domain", "server"),
        issuer="https://{domain}/oauth2/{server}",
        jwks_url="{issuer}/v1/keys",
        client_claim="cid",
        defaults={"needed_claims": ("cid",), "leeway": _LEEWAY},
    ),
    # Okta means these tokens for itself: it may change them, and does not publish every key.
    "okta-org": Preset(
        shape=rf"https://(?P<domain>{_HOST})",
        looks="https://<domain>, without a path",
        parts=("domain",),
        issuer="https://{domain}",
        jwks_url="{issuer}/oauth2/v1/keys",
        audience="{issuer}",
        client_claim="cid",
        defaults={
            "token_types": ("application/okta-internal-at+jwt", "at+jwt", "jwt"),
            "needed_claims": ("cid",),
            "leeway": _LEEWAY,
        },
    ),
    # sub is <client id>@clients. Without an audience in the token request the token is opaque.
    "auth0": Preset(
        shape=rf"https://(?P<domain>{_HOST})/",
        looks="https://<domain>/, with a slash at its end",
        parts=("domain",),
        issuer="https://{domain}/",
        jwks_url="{issuer}.well-known/jwks.json",
        client_claim="azp",
        defaults={"needed_claims": ("azp",), "leeway": _LEEWAY},
    ),
    "cognito": Preset(
        shape=rf"https://cognito-idp\.[a-z0-9-]+\.amazonaws\.com(?:\.cn)?/(?P<pool>{_POOL})",
        looks="https://cognito-idp.<region>.amazonaws.com/<pool>, without a slash at its end",
        parts=("pool",),
        issuer="https://cognito-idp.{region}.amazonaws.com/{pool}",
        jwks_url="{issuer}/.well-known/jwks.json",
        has_audience=False,
        defaults={"required_claims": {"token_use": "access"}, "leeway": _LEEWAY},
    ),
    # The claim typ says what kind of token it is, the header's does not. An `aud` that means an
    # API comes from an audience mapper; without one name the clients instead.
    "keycloak": Preset(
        shape=r"https?://[^/?#]+(?:/[^?#]+)?/realms/[^/?#]+",
        looks="https://<host>/realms/<realm>, without a slash at its end",
        jwks_url="{issuer}/protocol/openid-connect/certs",
        client_claim="azp",
        defaults={
            "needed_claims": ("azp",),
            "required_claims": {"typ": "Bearer"},
            "leeway": _LEEWAY,
        },
    ),
    # Most of its access tokens are no JWT and can only be introspected.
    "jumpcloud": Preset(
        shape=r"https://oauth\.id\.(?:eu\.)?jumpcloud\.com/",
        looks="https://oauth.id.jumpcloud.com/, with a slash at its end",
        issuer="https://oauth.id.jumpcloud.com/",
        has_audience=False,
        defaults={"leeway": _LEEWAY},
    ),
    # ID tokens of service accounts: its access tokens are opaque. All the world's tokens have the
    # same keys, so the audience is all that says whom they are for.
    "google": Preset(
        shape=r"https://accounts\.google\.com",
        looks="https://accounts.google.com, without a slash at its end",
        issuer="https://accounts.google.com",
        jwks_url="https://www.googleapis.com/oauth2/v3/certs",
        client_claim="azp",
        defaults={"token_types": ("jwt",), "needed_claims": ("azp",), "leeway": _LEEWAY},
    ),
    "oidc": Preset(shape=r"https?://.+", looks="a URL", defaults={"leeway": _LEEWAY}),
}

PRESETS: Mapping[str, Preset] = {
    **_PRESETS,
    "entra": replace(
        _PRESETS["entra-v2"],
        shape=rf"https://(?P<host>login\.microsoftonline\.com)/(?P<tenant>{_GUID})/v2\.0",
        twin="entra-v1",
    ),
}

# Hosts that tell these two apart from any other issuer without a path.
_OWN_HOSTS = {
    "auth0": r"https://[^/]+\.auth0\.com/?",
    "okta-org": r"https://[^/]+\.okta(?:preview|-emea)?\.com",
}


def recognize(issuer: object) -> str | None:
    """Return the preset whose issuers look like this one; None where that is not clear."""
    if not isinstance(issuer, str):
        return None
    for name, host in _OWN_HOSTS.items():
        if re.fullmatch(host, issuer):
            return name
    particular = PRESETS.keys() - {"entra", "oidc", *_OWN_HOSTS}
    return next((n for n in PRESETS if n in particular and PRESETS[n].fits(issuer)), None)
