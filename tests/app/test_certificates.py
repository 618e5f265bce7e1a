"""Until when certificates are good is told, and early enough."""

import logging
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509

from sidecar.app.certificates import expiring_certificates, read_expiries, tell_of_certificates
from sidecar.observability.upkeep import Upkeep
from sidecar.settings import Settings
from tests.app.test_parts import settings
from tests.app.test_tls import Certificates

DAY = 86400.0


class Listener:
    """Settings with a certificate, and when it expires."""

    def __init__(self, directory: Path) -> None:
        self.ours = Certificates(directory, "ours")
        tls = {"certificate": str(self.ours.certificate), "key": str(self.ours.key)}
        self.settings: Settings = settings(directory, listen={"tls": tls})
        leaf = x509.load_pem_x509_certificate(self.ours.certificate.read_bytes())
        self.expiry = leaf.not_valid_after_utc.timestamp()


@pytest.fixture
def listener(tmp_path: Path) -> Listener:
    return Listener(tmp_path)


def test_the_first_certificate_of_the_file_counts_not_its_issuers(listener: Listener) -> None:
    leaf = listener.ours.certificate.read_bytes()
    other = Certificates(listener.ours.certificate.parent, "other").authority.cert_pem.bytes()
    listener.ours.certificate.write_bytes(leaf + other)

    assert read_expiries(listener.settings) == {"listen.tls": listener.expiry}


@pytest.mark.parametrize(
    ("before", "said"),
    [
        (15 * DAY, []),
        (13 * DAY, ["listen.tls: its certificate expires in 13.0 days"]),
        (0.0, ["listen.tls: its certificate has expired"]),
    ],
)
def test_it_is_said_two_weeks_before(listener: Listener, before: float, said: list[str]) -> None:
    warnings = expiring_certificates(listener.settings, listener.expiry - before)

    assert [str(warning) for warning in warnings] == said


def test_the_metrics_and_the_log_are_told(
    listener: Listener, caplog: pytest.LogCaptureFixture
) -> None:
    upkeep = Upkeep(1.0)
    with caplog.at_level(logging.WARNING):
        tell_of_certificates(listener.settings, upkeep, listener.expiry + 1)

    [family] = [each for each in upkeep.collect() if "certificate" in each.name]
    assert [(each.labels["place"], each.value) for each in family.samples] == [
        ("listen.tls", listener.expiry)
    ]
    assert caplog.messages == ["listen.tls: its certificate has expired"]


def of_version_2(pem: bytes) -> bytes:
    version_3, version_2 = b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x01"
    octets = ssl.PEM_cert_to_DER_cert(pem.decode())
    return ssl.DER_cert_to_PEM_cert(octets.replace(version_3, version_2, 1)).encode()


@pytest.mark.parametrize(
    "changed",
    [
        lambda pem: pem.replace(b"CERTIFICATE", b"TRUSTED CERTIFICATE"),
        of_version_2,
        lambda _: b"no certificate",
    ],
    ids=["as OpenSSL trusts it", "a strange version", "none"],
)
def test_one_that_has_no_figure_is_said(
    listener: Listener, changed: Callable[[bytes], bytes], caplog: pytest.LogCaptureFixture
) -> None:
    """Found on review: TLS used the first two, and nobody would have heard of their end."""
    file, upkeep = listener.ours.certificate, Upkeep(1.0)
    file.write_bytes(changed(file.read_bytes()))
    with caplog.at_level(logging.WARNING):
        tell_of_certificates(listener.settings, upkeep, listener.expiry)

    assert [message.partition(":")[0] for message in caplog.messages] == ["listen.tls"]
    [family] = [each for each in upkeep.collect() if "certificate" in each.name]
    assert not family.samples
