"""An issuer's settings as ``provider detect`` proposes them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from sidecar.app.detecting import Detected
from sidecar.cli.denied import shown
from sidecar.core.bearer import BearerToken
from sidecar.core.claims import check_claims, read_claims
from sidecar.core.decision import Denied
from sidecar.core.issuer import ACCESS_TOKEN_TYPES, ASYMMETRIC_ALGORITHMS
from sidecar.core.issuer import Issuer as IssuerRules
from sidecar.core.token import UnverifiedToken, check_header, read_token, verify_signature
from sidecar.settings.issuers import Issuer, with_twins
from sidecar.settings.presets import PRESETS, Preset, recognize

_DEFAULT_ALGORITHMS = ["RS256"]


class NotItsToken(Exception):
    """The token is none of the provider's, or none at all."""


class IssuerBlock:
    """The proposal; with a token, filled from it and tried on it."""

    def __init__(
        self, detected: Detected, *, insecure_http: bool = False, ca: Path | None = None
    ) -> None:
        issuer = detected.metadata.issuer
        name = recognize(issuer) or _by_endpoint(detected) or "oidc"
        # Which of its two issuers a token has is nothing that Entra ID's discovery knows.
        self.preset = "entra" if name.startswith("entra") else name
        self._known: Preset = PRESETS[name]
        self._detected = detected
        parts = self._known.parts_of(issuer)
        made = parts or ({} if self._known.issuer == issuer else {"issuer": issuer})
        self.values: dict[str, Any] = {"preset": self.preset, **made}
        if insecure_http:
            self.values["insecure_http"] = True
        if ca is not None:
            self.values["ca"] = str(ca)
        if list(detected.algorithms) != _DEFAULT_ALGORITHMS:
            self.values["algorithms"] = list(detected.algorithms)
        self.denial = ""

    def fill_from(self, compact: str, now: float) -> None:
        """Take audience and client from a token, and try the settings on it.

        Raises:
            NotItsToken: this provider has not signed it.
        """
        token = self._verified(compact)
        claims = token.sealed_claims
        client = claims.get(self._known.client_claim) or claims.get("client_id")
        audiences = _audiences(claims.get("aud"))
        if self._known.has_audience and audiences:
            self.values["audiences"] = audiences
        elif isinstance(client, str):
            self.values["clients"] = [client]
        if token.algorithm not in self.values.get("algorithms", _DEFAULT_ALGORITHMS):
            self.values["algorithms"] = [token.algorithm]
        self._take_type(token)
        self.denial = self._try(token, now)

    def lines(self) -> Iterator[str]:
        """Return the YAML, with what is still to be filled in."""
        metadata = self._detected.metadata
        yield f"# {self.preset}: {len(self._detected.keys.by_kid)} key(s) at {metadata.jwks_uri}"
        for reason in self._detected.left_out:
            yield f"# not used: {shown(reason)}"
        if self.denial:
            yield f"# With these settings the token is denied: {shown(self.denial)}"
        yield "issuers:"
        values = dict(self.values)
        wants_clients = not self._known.has_audience
        if not {"audiences", "clients"} & values.keys():
            values["clients" if wants_clients else "audiences"] = []
        text = yaml.safe_dump([values], sort_keys=False, default_flow_style=None, width=10_000)
        for line in text.splitlines():
            yield f"  {line}{self._to_do(line)}"
        if metadata.introspection_endpoint is not None:
            yield f"# Opaque tokens it knows at {metadata.introspection_endpoint} (introspection)"

    def _to_do(self, line: str) -> str:
        match line.strip():
            case "audiences: []":
                return "  # fill in: the `aud` of tokens for this API"
            case "clients: []":
                return "  # fill in: the client ids to let in; these tokens have no `aud`"
            case _:
                return ""

    def _verified(self, compact: str) -> UnverifiedToken:
        try:
            token = read_token(BearerToken(compact))
            issuers = self._names()
            if token.issuer not in issuers:
                raise NotItsToken(
                    f"the token is of another issuer, {shown(token.issuer)}; this is"
                    f" {' or '.join(issuers)}"
                )
            verify_signature(token, self._detected.keys, _lenient(token))
        except UnicodeEncodeError:
            raise NotItsToken("that is no token") from None
        except Denied as denied:
            raise NotItsToken(f"{denied.reason.value}: {denied.detail}") from None
        return token

    def _names(self) -> list[str]:
        filled = {**self.values, "audiences": ["x"], "clients": ["x"]}
        return [each.issuer for each in with_twins([Issuer.model_validate(filled)])]

    def _take_type(self, token: UnverifiedToken) -> None:
        typ = (token.token_type or "jwt").lower()
        if typ not in self._known.defaults.get("token_types", ACCESS_TOKEN_TYPES):
            self.values["token_types"] = [typ]

    def _try(self, token: UnverifiedToken, now: float) -> str:
        known = {} if "clients" in self.values else {"audiences": ["?"]}
        settings = Issuer.model_validate(known | self.values)
        (rules,) = [each.rules() for each in with_twins([settings]) if each.issuer == token.issuer]
        try:
            check_header(token, rules)
            verified = verify_signature(token, self._detected.keys, rules)
            check_claims(read_claims(verified, rules.groups, rules.scope_claims), rules, now)
        except Denied as denied:
            return f"{denied.reason.value} ({denied.detail})"
        return ""


def _audiences(value: Any) -> list[str]:
    # Keycloak's own `account` is in every token of it.
    named = value if isinstance(value, list) else [value]
    return [each for each in named if isinstance(each, str) and each not in ("", "account")]


def _lenient(token: UnverifiedToken) -> IssuerRules:
    """Return rules that ask for nothing but the signature."""
    types = frozenset({(token.token_type or "").lower()})
    return IssuerRules(
        token.issuer, algorithms=ASYMMETRIC_ALGORITHMS, token_types=types, kid_optional=True
    )


def _by_endpoint(detected: Detected) -> str | None:
    """Recognize Auth0 under a domain of the customer's own."""
    metadata = detected.metadata
    is_auth0 = metadata.token_endpoint == f"{metadata.issuer}oauth/token"
    return "auth0" if is_auth0 and PRESETS["auth0"].fits(metadata.issuer) else None
