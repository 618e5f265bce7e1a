"""Until when our certificates are good: told to the metrics, and to the log where it is soon."""

import logging
from collections.abc import Iterator, Mapping

from cryptography import x509

from sidecar.observability.upkeep import Upkeep
from sidecar.settings import Problem, Settings
from sidecar.settings.certificates import certificate_files

log = logging.getLogger(__name__)

_SOON_DAYS = 14


def read_expiries(settings: Settings) -> Mapping[str, float | None]:
    """Return when each certificate of ours expires, in epoch seconds, by its place in the settings.

    None for one that cannot be read. TLS may use it all the same: OpenSSL takes more than we can.
    """
    expiries: dict[str, float | None] = {}
    for place, file in certificate_files(settings):
        try:
            # The first is ours, and the others are its issuers' (RFC 8446, 4.4.2).
            certificate = x509.load_pem_x509_certificates(file.read_bytes())[0]
            expiries[place] = certificate.not_valid_after_utc.timestamp()
        except (OSError, ValueError, x509.InvalidVersion):
            expiries[place] = None
    return expiries


def expiring_certificates(settings: Settings, now: float) -> list[Problem]:
    """Return a warning of each certificate that has expired, soon does, or cannot be read."""
    return list(_warnings(read_expiries(settings), now))


def _warnings(expiries: Mapping[str, float | None], now: float) -> Iterator[Problem]:
    for place, expiry in expiries.items():
        if expiry is None:
            yield Problem(
                place, "until when its certificate is good cannot be read; no alert will tell"
            )
            continue
        days = (expiry - now) / 86400
        if days <= 0:
            yield Problem(place, "its certificate has expired")
        elif days < _SOON_DAYS:
            yield Problem(place, f"its certificate expires in {days:.1f} days")


def tell_of_certificates(settings: Settings, upkeep: Upkeep, now: float) -> None:
    """Show until when the certificates that are in force from ``now`` on are good."""
    expiries = read_expiries(settings)
    upkeep.certificates_in_force({place: at for place, at in expiries.items() if at is not None})
    for warning in _warnings(expiries, now):
        log.warning("%s", warning)
