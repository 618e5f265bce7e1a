"""TLS contexts, on either side. TLS 1.2 at least; nothing is trusted that is not named."""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def server_context(certificate: Path, key: Path, client_ca: Path | None) -> ssl.SSLContext:
    """Return the context of a listener; with ``client_ca`` clients must show a certificate.

    Raises:
        ValueError: a file is not what it should be; the message names it.
    """
    with _naming(client_ca):
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=client_ca)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    with _naming(certificate, key):
        context.load_cert_chain(certificate, key)
    context.set_alpn_protocols(["http/1.1"])
    if client_ca is not None:
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def client_context(
    ca: Path | None,
    certificate: Path | None = None,
    key: Path | None = None,
    *,
    insecure_skip_verify: bool = False,
) -> ssl.SSLContext:
    """Return the context of a connection that we make; ``ca`` replaces the system's authorities.

    Raises:
        ValueError: a file is not what it should be; the message names it.
    """
    with _naming(ca):
        context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=ca)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if certificate is not None:
        with _naming(certificate, key):
            context.load_cert_chain(certificate, key)
    if insecure_skip_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def system_authorities() -> bytes:
    """Return the PEM of the system's authorities, for libraries that bring their own.

    Raises:
        ValueError: the system has none.
    """
    found = ssl.create_default_context().get_ca_certs(binary_form=True)
    if not found:
        raise ValueError("the system has no authorities to verify upstream by; name them in ca")
    return "".join(map(ssl.DER_cert_to_PEM_cert, found)).encode("ascii")


@contextmanager
def _naming(*files: Path | None) -> Iterator[None]:
    try:
        yield
    except OSError as error:  # ssl.SSLError is one
        names = " with ".join(str(file) for file in files if file is not None)
        raise ValueError(f"{names} cannot be used for TLS: {error}") from None
