"""Settings of receiving security events from identity providers."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationInfo, field_validator

from sidecar.core.issuer import ASYMMETRIC_ALGORITHMS
from sidecar.core.issuer import Issuer as IssuerRules
from sidecar.core.security_event import EVENT_TOKEN_TYPES, Transmitter
from sidecar.settings.fields import (
    Port,
    ReadableFile,
    Section,
    ServerTls,
    Strings,
    is_loopback,
    read_secret,
    split_url,
)

_LEAST_SECRET = 16


class Receiver(Section):
    """One transmitter; it pushes to `/events/NAME`."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
    """The last part of the path that it pushes to; metrics and audit records name it."""
    insecure_http: bool = False
    """Allow http:// for `issuer` and `jwks_url`: whoever stands between can forge events."""
    issuer: str
    """The events' `iss`, byte for byte; an https URL."""
    jwks_url: str | None = None
    """Where its keys are; without it they are found by its metadata."""
    algorithms: Strings = ("RS256",)
    """Algorithms that it signs with; asymmetric ones only."""
    audiences: Annotated[Strings, Field(min_length=1)]
    """Values of `aud` that mean us."""
    secret_file: ReadableFile
    """File with the secret that it shows, `Authorization: Bearer SECRET`: 16 characters or more."""
    subjects_of: Strings = ()
    """Whose subjects it may speak of: some of `issuers`. Without it, its own."""
    opaque_subjects: bool = False
    """Its opaque identifiers are the `sub` of the one issuer in `subjects_of`."""
    account_events: bool = False
    """Let it disable accounts, and enable them again (RISC), not only revoke tokens."""
    max_age: Annotated[float, Field(ge=60, le=2592000)] = 86400.0
    """Seconds that an event may be on its way; so long each is remembered."""
    leeway: Annotated[float, Field(ge=0, le=300)] = 60.0
    """Seconds by which the clocks may differ."""
    ca: ReadableFile | None = None
    """PEM file with the authorities to trust for its keys instead of the system's."""

    @field_validator("issuer", "jwks_url")
    @classmethod
    def _is_https(cls, text: str | None, info: ValidationInfo) -> str | None:
        if text is not None:
            url = split_url(text, ("https", "http"))
            if url.scheme == "http" and not info.data.get("insecure_http"):
                raise ValueError("expected https (or set insecure_http: true for this receiver)")
            if not url.hostname or url.fragment or "@" in url.netloc:
                raise ValueError("expected a host and a path, without user or fragment")
        return text

    @field_validator("algorithms")
    @classmethod
    def _are_asymmetric(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if not names or not ASYMMETRIC_ALGORITHMS.issuperset(names):
            expected = ", ".join(sorted(ASYMMETRIC_ALGORITHMS))
            raise ValueError(f"a key that verifies must not sign. Expected some of {expected}")
        return names

    @field_validator("secret_file")
    @classmethod
    def _is_long(cls, file: Path) -> Path:
        if len(read_secret(file)) < _LEAST_SECRET:
            raise ValueError(f"expected {_LEAST_SECRET} characters at least; make it by chance")
        return file

    def read_secret(self) -> str:
        """Return the secret that it shows.

        Raises:
            OSError, ValueError: the file is no longer what it was at the start.
        """
        return read_secret(self.secret_file)

    def signer(self) -> IssuerRules:
        """Return what is demanded of the events' signatures."""
        return IssuerRules(
            self.issuer,
            algorithms=frozenset(self.algorithms),
            token_types=EVENT_TOKEN_TYPES,
            type_required=True,
        )

    def transmitter(self, realms: Mapping[str, str]) -> Transmitter:
        """Return what it may do; ``realms`` are the issuers'."""
        subjects = self.subjects_of or (self.issuer,)
        return Transmitter(
            issuer=self.issuer,
            audiences=frozenset(self.audiences),
            subjects={issuer: realms[issuer] for issuer in subjects},
            opaque_issuer=subjects[0] if self.opaque_subjects else None,
            changes_status=self.account_events,
            max_age=self.max_age,
            leeway=self.leeway,
        )


class Events(Section):
    """Receiving security events (OpenID Shared Signals, RFC 8935) on a listener of its own."""

    host: str = "127.0.0.1"
    """Address to listen on."""
    port: Port = 9443
    """Port to listen on; 0 lets the system choose."""
    insecure_http: bool = False
    """Allow listening beyond loopback without TLS, for a proxy in front that ends it."""
    tls: Annotated[ServerTls | None, Field(validate_default=True)] = None
    """TLS of the listener."""
    receivers: tuple[Receiver, ...]
    """Who may push."""

    @field_validator("tls")
    @classmethod
    def _is_private(cls, tls: ServerTls | None, info: ValidationInfo) -> ServerTls | None:
        reachable = not is_loopback(info.data.get("host", "localhost"))
        if tls is None and reachable and not info.data.get("insecure_http"):
            raise ValueError(
                "secrets would pass the network unencrypted; set events.tls, or let events.host be"
                " 127.0.0.1, with TLS in front (or set events.insecure_http: true)"
            )
        return tls

    @field_validator("receivers")
    @classmethod
    def _are_told_apart(cls, receivers: tuple[Receiver, ...]) -> tuple[Receiver, ...]:
        if not receivers:
            raise ValueError("expected at least one receiver: who is to push?")
        for what in ("name", "issuer"):
            counts = Counter(getattr(each, what) for each in receivers)
            twice = [value for value, count in counts.items() if count > 1]
            if twice:
                raise ValueError(f"{what} {twice[0]!r} is there twice; join the two")
        return receivers


def stranger(events: Events, issuers: frozenset[str]) -> str | None:
    """Return whose subjects a receiver would speak of in vain, with the remedy; or None."""
    for number, each in enumerate(events.receivers):
        subjects = each.subjects_of or (each.issuer,)
        unknown = [issuer for issuer in subjects if issuer not in issuers]
        if unknown:
            return (
                f"receivers[{number}]: {unknown[0]!r} is none of issuers; name in subjects_of whose"
                " subjects its events are about"
            )
        if each.opaque_subjects and len(subjects) > 1:
            return f"receivers[{number}]: opaque_subjects needs one issuer in subjects_of"
    return None
