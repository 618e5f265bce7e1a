"""Where upstream is, how long it may take, and how it fails."""

import ssl
from dataclasses import dataclass

from sidecar.ports import UpstreamError


class UpstreamFailed(Exception):
    """Upstream did not answer, or not in HTTP."""

    def __init__(self, error: UpstreamError, detail: str) -> None:
        super().__init__(error, detail)
        self.error = error
        self.detail = detail


@dataclass(frozen=True, slots=True)
class UpstreamPolicy:
    """Where upstream is and how long it may take; times in seconds.

    ``url`` is scheme and authority alone, or ``unix:`` and the path of a socket; ``more`` are
    further addresses of the same. ``first_byte_timeout`` runs from the request's last octet to the
    answer's head, ``idle_timeout`` between two pieces of its body; an unused connection is kept for
    ``keep_alive``. ``tls`` and ``server_name`` are for https.
    """

    url: str
    more: tuple[str, ...] = ()
    connect_timeout: float = 5.0
    first_byte_timeout: float = 75.0
    idle_timeout: float = 300.0
    keep_alive: float = 55.0
    max_connections: int = 1000
    max_head_bytes: int = 65536
    tls: ssl.SSLContext | None = None
    server_name: str | None = None
