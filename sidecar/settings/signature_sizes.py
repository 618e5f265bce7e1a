"""Whether tokens with large signatures fit through the limits."""

from collections.abc import Iterable

from pydantic import ValidationInfo

from sidecar.core.mldsa import SIGNATURE_OCTETS
from sidecar.settings.sections import Limits

# Octets for a token's header and claims, and for a request's other fields. Small ones: who needs
# more has raised the limits already, or reads the reason of the denial.
_HEADER_AND_CLAIMS = 1024
_OTHER_FIELDS = 1024


def least_token_bytes(algorithms: Iterable[str]) -> int:
    """Return the octets that tokens signed so may have at least; 0 where any limit will do."""
    octets = max((SIGNATURE_OCTETS.get(name, 0) for name in algorithms), default=0)
    # RFC 7515, 2: base64url without padding makes four characters of three octets.
    return -(-octets * 4 // 3) + _HEADER_AND_CLAIMS if octets else 0


def least_header_bytes(algorithms: Iterable[str]) -> int:
    """Return the octets that a request's head with such a token may have at least."""
    least = least_token_bytes(algorithms)
    return least + _OTHER_FIELDS if least else 0


def check_limits(limits: Limits, info: ValidationInfo) -> Limits:
    """Judge the limits by the algorithms of the issuers, and by how long a head the doors take.

    Raises:
        ValueError: tokens could not get in, with the remedy.
    """
    names = [name for each in info.data.get("issuers", ()) for name in each.algorithms]
    least = least_token_bytes(names)
    if limits.max_token_bytes < least:
        raise ValueError(f"max_token_bytes: ML-DSA signatures are long; set {least} or more")
    least = least_header_bytes(names)
    for door in ("listen", "forward_auth"):
        section = info.data.get(door)
        if section is not None and section.max_header_bytes < least:
            raise ValueError(
                f"{door}.max_header_bytes: ML-DSA signatures are long; set {least} or more"
            )
    return limits
