"""What a request shows beside its token: DPoP proofs, and whose client certificate it came with.

A certificate is vouched for by our own TLS handshake with the client, or by a header of a proxy
that is trusted: of anybody else such a header is a claim like any other, and dropped. So is every
other spelling of its name, which a proxy that sets the header would leave in place.
"""

import asyncio
import ssl
from collections.abc import Sequence
from dataclasses import dataclass

from sidecar.core.bearer import canonical, is_dpop
from sidecar.core.client_certificate import CertificateForm, read_thumbprint, thumbprint_of
from sidecar.core.confirmation import Shown
from sidecar.core.identity_headers import fold_name

PROOF = "dpop"


@dataclass(frozen=True, slots=True)
class CertificateHeader:
    """The header by which a proxy tells the client's certificate; its name in lower case."""

    name: str
    form: CertificateForm


@dataclass(frozen=True, slots=True)
class ShownRules:
    """Which fields show something; by default none, and all go on to upstream as any other.

    ``forwards_proofs`` leaves a proof and its scheme as they came, for an upstream that verifies
    them again; otherwise upstream gets a bearer.
    """

    takes_proofs: bool = False
    takes_certificates: bool = False
    forwards_proofs: bool = False
    header: CertificateHeader | None = None

    def is_proof(self, lower_name: str) -> bool:
        """Say whether the field is a DPoP proof that counts here."""
        return self.takes_proofs and lower_name == PROOF

    def is_certificate(self, lower_name: str) -> bool:
        """Say whether the field is the one by which proxies tell the client's certificate."""
        return self.header is not None and lower_name == self.header.name

    def is_alias(self, name: str) -> bool:
        """Say whether this is that field's name in another spelling. No proxy of ours writes it."""
        header = self.header
        return (
            header is not None
            and name.lower() != header.name
            and fold_name(name) == fold_name(header.name)
        )

    def shown(
        self, proofs: Sequence[str], told: Sequence[str], own: str | None, *, by_proxy: bool
    ) -> Shown | None:
        """Return what was shown, or None where nothing counts.

        ``told`` are the values of the certificate's header, ``own`` is the thumbprint out of the
        TLS handshake with the peer. Where a trusted proxy tells of certificates (``by_proxy``) its
        own one is not the client's.
        """
        if not (self.takes_proofs or self.takes_certificates):
            return None
        certificate = own
        if self.header is not None and by_proxy:
            certificate = read_thumbprint(self.header.form, told)
        return Shown(tuple(proofs), certificate)

    def credential(self, value: str) -> str:
        """Return a granted credential's header value as upstream gets it."""
        return value if self.forwards_proofs and is_dpop(value) else canonical(value)


NOTHING_SHOWN = ShownRules()


def certificate_of(transport: asyncio.BaseTransport) -> str | None:
    """Return the thumbprint of the certificate that the peer has shown in its TLS handshake."""
    tls = transport.get_extra_info("ssl_object")
    if not isinstance(tls, ssl.SSLObject | ssl.SSLSocket):
        return None
    der = tls.getpeercert(binary_form=True)
    return None if der is None else thumbprint_of(der)
