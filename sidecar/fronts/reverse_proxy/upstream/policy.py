"""Where upstream is, how long it may take, and how it fails."""

import logging
import ssl
from dataclasses import dataclass

from sidecar.fronts.reverse_proxy.upstream.breaker import BreakerRules
from sidecar.ports import UpstreamError

_LONGEST_PAUSE = 30.0


class UpstreamFailed(Exception):
    """Upstream did not answer, or not in HTTP."""

    def __init__(self, error: UpstreamError, detail: str) -> None:
        super().__init__(error, detail)
        self.error = error
        self.detail = detail

    def anew(self) -> "UpstreamFailed":
        """Return it to be raised: a raised one that is kept makes a ring with its traceback."""
        return UpstreamFailed(self.error, self.detail)


def level_of(error: UpstreamError) -> int:
    """Return how loud the log is told of it: that a breaker is open was told when it opened."""
    return logging.DEBUG if error is UpstreamError.CIRCUIT_OPEN else logging.WARNING


@dataclass(frozen=True, slots=True)
class HealthPolicy:
    """How each address is probed; times in seconds.

    Every ``interval`` a ``GET`` of ``path`` has to be answered by one of ``expect_status`` within
    ``timeout``; without a path, a connection is enough. After so many failures in a row nobody asks
    the address any more, and when all are like that, a request is refused at once.
    """

    path: str | None = None
    interval: float = 1.0
    timeout: float = 1.0
    healthy_after: int = 1
    unhealthy_after: int = 3
    expect_status: frozenset[int] = frozenset({200})


@dataclass(frozen=True, slots=True)
class UpstreamPolicy:
    """Where upstream is and how long it may take; times in seconds.

    ``url`` is scheme and authority alone, or ``unix:`` and the path of a socket; ``more`` are
    further addresses of the same. ``first_byte_timeout`` runs from the request's last octet to the
    answer's head, ``idle_timeout`` between two pieces of its body; an unused connection is kept for
    ``keep_alive``. ``tls`` and ``server_name`` are for https. Without ``health`` nothing is probed,
    and where all addresses are left out, all are asked.
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
    health: HealthPolicy | None = None

    @property
    def breaker_rules(self) -> BreakerRules:
        """When an address is asked no more, and when again."""
        health = self.health
        if health is None:
            return BreakerRules()
        return BreakerRules(
            health.unhealthy_after,
            health.healthy_after,
            connect_suffices=health.path is None,
            first_pause=health.interval,
            longest_pause=max(_LONGEST_PAUSE, health.interval),
        )
