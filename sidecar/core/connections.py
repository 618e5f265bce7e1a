"""What becomes of connections at the doors, and who hears of it."""

from enum import StrEnum, unique
from typing import Protocol


@unique
class ConnectionRefusal(StrEnum):
    """Why a connection was not accepted; the value is a metric label."""

    LIMIT = "limit"
    PEER_LIMIT = "peer_limit"
    RESOURCES = "resources"  # no descriptor, or no memory for one


class ConnectionObserver(Protocol):
    """Hears of clients' connections. It must be quick and must not raise."""

    def connected(self, change: int) -> None:
        """Hear that a connection was accepted (1) or has ended (-1)."""
        ...

    def connection_refused(self, reason: ConnectionRefusal) -> None:
        """Hear that one was turned away."""
        ...

    def read_too_slowly(self) -> None:
        """Hear that one was reset because its client read too slowly what was sent to it."""
        ...
