"""Settings of asking an issuer about its tokens (RFC 7662)."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator

from sidecar.core.issuer import Introspected, IntrospectionRules
from sidecar.settings.fields import ReadableFile, Section, read_secret, split_url

Authentication = Literal[
    "client_secret_basic", "client_secret_post", "private_key_jwt", "tls_client_auth"
]
SigningAlgorithm = Literal["RS256", "PS256", "ES256", "ES384", "Ed25519"]

# What each needs beside the client's id; what another needs has no effect and is refused.
_NEEDS: Mapping[str, tuple[str, ...]] = {
    "client_secret_basic": ("secret_file",),
    "client_secret_post": ("secret_file",),
    "private_key_jwt": ("key_file",),
    "tls_client_auth": ("certificate",),
}
_MAY_HAVE: Mapping[str, tuple[str, ...]] = {
    "private_key_jwt": ("key_id", "assertion_audience"),
    "tls_client_auth": ("certificate_key",),
}


class Introspection(Section):
    """Asking the issuer about tokens that say nothing by themselves.

    The answer has to name `exp` and the subject, and is judged by the issuer's rules as a JWT's
    claims are.
    """

    url: str | None = None
    """The introspection endpoint; without it the provider's metadata say where it is."""
    client_id: Annotated[str, Field(pattern=r"^[\x20-\x7e]{1,255}$")]
    """Our client id there."""
    authentication: Authentication = "client_secret_basic"
    """How the provider knows us."""
    secret_file: Annotated[ReadableFile | None, Field(validate_default=True)] = None
    """File with our client secret; read anew for each question."""
    key_file: Annotated[ReadableFile | None, Field(validate_default=True)] = None
    """PEM file with the private key for `private_key_jwt`; read anew for each question."""
    algorithm: SigningAlgorithm = "RS256"
    """What `private_key_jwt` signs with."""
    key_id: Annotated[str | None, Field(validate_default=True)] = None
    """What the provider calls that key (`kid`)."""
    assertion_audience: Annotated[str | None, Field(validate_default=True)] = None
    """Who `private_key_jwt` is for; without it the issuer."""
    certificate: Annotated[ReadableFile | None, Field(validate_default=True)] = None
    """PEM file with our certificate for `tls_client_auth`."""
    certificate_key: Annotated[ReadableFile | None, Field(validate_default=True)] = None
    """PEM file with its private key, where that is not in the certificate's file."""
    tokens: Introspected = Introspected.OPAQUE
    """Which are asked about: bearers that are no JWT (`opaque`); the same, of an issuer that signs
    no JWTs, so that no keys are fetched (`opaque_only`); or every JWT too (`all`)."""
    prefix: Annotated[str, Field(pattern=r"^[A-Za-z0-9\-._~+/]{0,64}$")] = ""
    """What its opaque tokens begin with, such as ory_at_. Needed where several issuers take them,
    and good anywhere: others are refused without a question."""
    subject_claim: Annotated[str, Field(min_length=1, max_length=64)] = "sub"
    """Member of the answer that is the subject; client_id, where a program's tokens have no sub."""
    cache: Annotated[float, Field(ge=0, le=3600)] = 30.0
    """Seconds that an answer counts, and never past the token's end. 0 asks for each request. The
    account is looked at on every request all the same."""
    inactive_cache: Annotated[float, Field(ge=0, le=300)] = 5.0
    """Seconds that a token stays refused without another question."""
    timeout: Annotated[float, Field(gt=0, le=30)] = 2.0
    """Seconds that an answer may take."""
    max_bytes: Annotated[int, Field(ge=1024, le=1048576)] = 65536
    """Bytes that an answer may have, inflated."""
    max_in_flight: Annotated[int, Field(ge=1, le=1024)] = 64
    """Questions on their way at once, for each worker; more wait."""

    @field_validator("secret_file", "key_file", "certificate")
    @classmethod
    def _is_needed(cls, file: Path | None, info: ValidationInfo) -> Path | None:
        way = info.data.get("authentication")
        needed = way is not None and info.field_name in _NEEDS[way]
        if needed and file is None:
            raise ValueError(f"is missing; {way} needs it")
        if way is not None and not needed and file is not None:
            raise ValueError(f"has no effect with {way}; leave it out")
        if file is not None and info.field_name == "secret_file":
            read_secret(file)
        return file

    @field_validator("key_id", "assertion_audience", "certificate_key")
    @classmethod
    def _has_effect(cls, value: object, info: ValidationInfo) -> object:
        way = info.data.get("authentication")
        if value is not None and way is not None and info.field_name not in _MAY_HAVE.get(way, ()):
            raise ValueError(f"has no effect with {way}; leave it out")
        return value

    @field_validator("url")
    @classmethod
    def _is_url(cls, text: str | None) -> str | None:
        if text is not None:
            url = split_url(text, ("https", "http"))
            if not url.hostname or url.fragment or "@" in url.netloc:
                raise ValueError("expected a host and a path, without user or fragment")
        return text

    def rules(self) -> IntrospectionRules:
        """Return what the decision knows of it."""
        return IntrospectionRules(self.tokens, self.prefix, self.subject_claim)


def ambiguity(takers: Iterable[tuple[int, Introspection]]) -> str | None:
    """Return which opaque tokens could be of either of two issuers, or None. With their places."""
    seen: dict[str, int] = {}
    for place, each in takers:
        if each.prefix in seen:
            tokens = f"that begin with {each.prefix!r}" if each.prefix else "of any form"
            return (
                f"issuers[{seen[each.prefix]}] and issuers[{place}] both take opaque tokens"
                f" {tokens}; give each an introspection.prefix of its own"
            )
        seen[each.prefix] = place
    return None
