"""Until when our certificates are good: told to the metrics, and to the log where it is soon."""

import logging
from collections.abc import Iterator, Mapping

from cryptography import x509

from sidecar.observability.upkeep import Upkeep
from sidecar.settings import Problem, Settings
from sidecar.settings.certificates import certificate_files

log = logging.getLogger(__name__)

_SOON_DAYS = 14


def read_expiries(settings: Settings) -> Mapping[str, float]:
    """Return when each certificate of ours expires, in epoch seconds, by its place in the settings.

    One that cannot be read is left out: whoever uses it has said so by then.
    """
    expiries = {}
    for place, file in certificate_files(settings):
        try:
            # The first is ours, and the others are its issuers' (RFC 8446, 4.4.2).
            certificate = x509.load_pem_x509_certificates(file.read_bytes())[0]
        except (OSError, ValueError):
            continue
        expiries[place] = certificate.not_valid_after_utc.timestamp()
    return expiries


def expiring_certificates(settings: Settings, now: float) -> list[Problem]:
    """Return a warning of each certificate that has expired, or does within two weeks."""
    return list(_warnings(read_expiries(settings), now))


def _warnings(expiries: Mapping[str, float], now: float) -> Iterator[Problem]:
    for place, expiry in expiries.items():
        days = (expiry - now) / 86400
        if days <= 0:
            yield Problem(place, "its certificate has expired")
        elif days < _SOON_DAYS:
            yield Problem(place, f"its certificate expires in {days:.1f} days")


def tell_of_certificates(settings: Settings, upkeep: Upkeep, now: float) -> None:
    """Show until when the certificates that are in force from ``now`` on are good."""
    expiries = read_expiries(settings)
    upkeep.certificates_in_force(expiries)
    for warning in _warnings(expiries, now):
        log.warning("%s", warning)
