"""Settings of sender-constrained tokens: what proves that a token is its sender's."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, field_validator

from sidecar.core.client_certificate import CertificateForm
from sidecar.core.confirmation import Binding
from sidecar.core.dpop import ProofRules, read_url
from sidecar.core.identity_headers import fold_name
from sidecar.core.issuer import ASYMMETRIC_ALGORITHMS
from sidecar.settings.fields import ReadableFile, Seconds, Section, Strings, read_secret

_LEAST_SECRET = 32
_TOKEN = re.compile(r"[A-Za-z0-9-]{1,64}")
_NOT_THIS = frozenset(
    {"authorization", "connection", "cookie", "dpop", "host", "x-forwarded-for", "upgrade"}
)


def _is_header(name: str) -> str:
    if not _TOKEN.fullmatch(name):
        raise ValueError(f"{name!r} is no header name of letters, digits and hyphens")
    if fold_name(name) in _NOT_THIS:
        raise ValueError(f"{name!r} has a meaning of its own; name the header with the certificate")
    return name.lower()


def _read_mode(value: Any) -> Any:
    return Binding.OFF if value is False else value  # YAML 1.1 reads a bare off so


BindingMode = Annotated[Binding, BeforeValidator(_read_mode)]


class ClientCertificateHeader(Section):
    """The header by which proxies tell the client's certificate.

    It counts from `trusted_proxies` alone. They have to set it on every request, or take it out:
    what a client sends under this name and a proxy leaves in place is believed.
    """

    name: Annotated[str, AfterValidator(_is_header)]
    """Its name, such as X-Forwarded-Client-Cert, Client-Cert or X-Forwarded-Tls-Client-Cert."""
    format: CertificateForm
    """How it is written: `Hash` of Envoy's header (envoy_xfcc), nginx's $ssl_client_escaped_cert
    (nginx_escaped_pem), RFC 9440's Client-Cert (rfc9440), or Traefik's (traefik)."""


class BoundTokens(Section):
    """How the sender of a bound token is known. Issuers say which they have: `dpop`, `mtls`."""

    public_urls: Strings = ()
    """URLs that clients know us by, such as https://api.example.com; a proof names one of them, and
    the path. Needed for DPoP: the Host of a request is whatever its sender says."""
    algorithms: Strings = ("ES256", "RS256", "PS256", "Ed25519", "EdDSA")
    """Algorithms that proofs may be signed with; asymmetric ones only."""
    proof_window: Annotated[float, Field(ge=1, le=600)] = 60.0
    """Seconds that a proof is good for, from its `iat`; for as long its use is remembered."""
    proof_leeway: Annotated[float, Field(ge=0, le=60)] = 5.0
    """Seconds by which a client's clock may be ahead."""
    max_proof_bytes: Annotated[int, Field(ge=512, le=16384)] = 4096
    """Bytes that a proof may have."""
    nonce_secret_file: ReadableFile | None = None
    """File with 32 random characters or more, the same for all replicas. With it each proof has to
    have a nonce of ours (RFC 9449, 9), which clients get with the first refusal."""
    nonce_lifetime: Annotated[Seconds, Field(ge=10)] = 300.0
    """Seconds that a nonce is good for, at least; at most twice as long."""
    forward_as: Literal["bearer", "dpop"] = "bearer"
    """What upstream gets: `Authorization: Bearer` and no proof, or both as they came, for an
    upstream that verifies the proof itself."""
    client_certificate_header: ClientCertificateHeader | None = None
    """A header with the client's certificate, where a proxy in front ends TLS."""

    @field_validator("public_urls")
    @classmethod
    def _are_urls(cls, urls: tuple[str, ...]) -> tuple[str, ...]:
        for url in urls:
            try:
                read_url(url)
            except ValueError:
                raise ValueError(
                    f"{url[:100]!r}: expected a URL such as https://api.example.com"
                ) from None
            if "?" in url or "#" in url:
                raise ValueError("expected a URL without query and fragment")
        return urls

    @field_validator("algorithms")
    @classmethod
    def _are_asymmetric(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if not names:
            raise ValueError('expected at least one algorithm, for example ["ES256"]')
        for name in names:
            if name not in ASYMMETRIC_ALGORITHMS:
                known = ", ".join(sorted(ASYMMETRIC_ALGORITHMS))
                raise ValueError(f"{name!r} is refused; expected some of {known}")
        return names

    @field_validator("nonce_secret_file")
    @classmethod
    def _is_long(cls, file: Path | None) -> Path | None:
        if file is not None and len(read_secret(file).encode()) < _LEAST_SECRET:
            raise ValueError(f"expected {_LEAST_SECRET} characters or more, out of a generator")
        return file

    def proof_rules(self) -> ProofRules:
        """Return what is demanded of proofs."""
        return ProofRules(
            urls=tuple(read_url(url).rstrip("/") for url in self.public_urls),
            algorithms=frozenset(self.algorithms),
            window=self.proof_window,
            leeway=self.proof_leeway,
            max_octets=self.max_proof_bytes,
        )

    def read_nonce_secret(self) -> bytes | None:
        """Return the secret from its file, if there is one.

        Raises:
            OSError, ValueError: the file is no longer what it was at the start.
        """
        file = self.nonce_secret_file
        return None if file is None else read_secret(file).encode()


def check_bound(bound: BoundTokens, info: ValidationInfo) -> BoundTokens:
    """Refuse what could not work with the other settings.

    Raises:
        ValueError: what is missing, and where.
    """
    issuers = info.data.get("issuers", ())
    by_dpop = any(each.dpop is not Binding.OFF for each in issuers)
    by_mtls = any(each.mtls is not Binding.OFF for each in issuers)
    if by_dpop and not bound.public_urls:
        raise ValueError(
            "public_urls is missing, and an issuer has dpop: a proof names the URL that it was"
            " made for, and what that is here no request can be believed to say"
        )
    if bound.forward_as == "dpop" and info.data.get("preset") == "hoop":
        raise ValueError("forward_as: dpop does not go with preset: hoop, which knows Bearer only")
    if bound.client_certificate_header is not None and not by_mtls:
        raise ValueError(
            "client_certificate_header has no effect; set mtls for an issuer, or leave it out"
        )
    if by_mtls:
        _check_doors(bound, info.data)
    return bound


def _check_doors(bound: BoundTokens, data: Mapping[str, Any]) -> None:
    by_header = bound.client_certificate_header is not None
    listen = data.get("listen")
    if data.get("forward_auth") is not None and not by_header:
        raise ValueError(
            "client_certificate_header is missing: an issuer has mtls, and at forward_auth only the"
            " proxy knows the client's certificate"
        )
    by_header = by_header and listen is not None and bool(listen.trusted_proxies)
    doors = {"listen": listen if data.get("upstream") is not None else None}
    for name, door in {**doors, "grpc": data.get("grpc")}.items():
        shows = door is None or (door.tls is not None and door.tls.client_ca is not None)
        if not (shows or by_header):
            raise ValueError(
                f"an issuer has mtls, and no client could show its certificate at {name}: set"
                f" {name}.tls.client_ca, or client_certificate_header and listen.trusted_proxies"
            )
