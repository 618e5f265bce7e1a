"""TLS contexts against each other: who is believed, and who is not."""

import asyncio
import ssl
from pathlib import Path

import pytest
import trustme

from sidecar.app.tls import client_context, server_context, system_authorities


class Certificates:
    """A certificate authority, and files with what it issued."""

    def __init__(self, directory: Path, name: str) -> None:
        self.authority = trustme.CA()
        self.ca = directory / f"{name}-ca.pem"
        self.authority.cert_pem.write_to_path(self.ca)
        leaf = self.authority.issue_cert("localhost")
        self.certificate, self.key = directory / f"{name}.pem", directory / f"{name}.key"
        self.certificate.write_bytes(b"".join(each.bytes() for each in leaf.cert_chain_pems))
        leaf.private_key_pem.write_to_path(self.key)


@pytest.fixture
def ours(tmp_path: Path) -> Certificates:
    return Certificates(tmp_path, "ours")


@pytest.fixture
def other(tmp_path: Path) -> Certificates:
    return Certificates(tmp_path, "other")


async def shake_hands(server: ssl.SSLContext, client: ssl.SSLContext) -> str:
    """Return the TLS version agreed on; raises what the client meets."""

    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello")
        writer.close()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=server)
    async with listener:
        port = listener.sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=client, server_hostname="localhost"
        )
        try:
            assert await reader.read() == b"hello"
            version: str = writer.get_extra_info("ssl_object").version()
            return version
        finally:
            writer.close()


async def test_a_client_believes_the_named_authority_alone(
    ours: Certificates, other: Certificates
) -> None:
    server = server_context(ours.certificate, ours.key, None)

    assert await shake_hands(server, client_context(ours.ca)) == "TLSv1.3"
    with pytest.raises(ssl.SSLCertVerificationError):
        await shake_hands(server, client_context(other.ca))
    with pytest.raises(ssl.SSLCertVerificationError):
        await shake_hands(server, client_context(None))
    await shake_hands(server, client_context(None, insecure_skip_verify=True))


async def test_a_server_with_a_client_authority_wants_a_certificate_of_it(
    ours: Certificates, other: Certificates
) -> None:
    server = server_context(ours.certificate, ours.key, ours.ca)

    await shake_hands(server, client_context(ours.ca, ours.certificate, ours.key))
    with pytest.raises((ssl.SSLError, ConnectionError, AssertionError)):
        await shake_hands(server, client_context(ours.ca))
    with pytest.raises((ssl.SSLError, ConnectionError, AssertionError)):
        await shake_hands(server, client_context(ours.ca, other.certificate, other.key))


def test_nothing_older_than_tls_1_2_is_spoken(ours: Certificates) -> None:
    for context in (server_context(ours.certificate, ours.key, None), client_context(ours.ca)):
        assert context.minimum_version is ssl.TLSVersion.TLSv1_2


def test_a_file_that_is_no_certificate_is_an_error_at_start(
    ours: Certificates, tmp_path: Path
) -> None:
    junk = tmp_path / "junk.pem"
    junk.write_text("junk")

    with pytest.raises(ValueError, match=r"junk\.pem with .*ours\.key cannot be used for TLS"):
        server_context(junk, ours.key, None)
    with pytest.raises(ValueError, match=r"junk\.pem cannot be used"):
        client_context(junk)
    with pytest.raises(ValueError, match=r"junk\.pem cannot be used"):
        server_context(ours.certificate, ours.key, junk)


def test_the_systems_authorities_are_given_as_pem(
    ours: Certificates, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(ours.ca))
    assert client_context(None).get_ca_certs()
    assert b"BEGIN CERTIFICATE" in system_authorities()

    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))
    with pytest.raises(ValueError, match="name them in ca"):
        system_authorities()
