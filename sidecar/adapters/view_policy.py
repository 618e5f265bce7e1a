"""By what bounds the account view lives."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ViewPolicy:
    """Bounds of the view; times in seconds.

    ``max_staleness`` is the promise: nothing is granted on a status older than this. ``timeout``
    bounds the wait for Redis before the connection is given up, ``read_timeout`` that of one who
    reads; ``strict`` reads on every call; ``accept_rolled_back`` goes on with a store that lost
    writes; up to ``spread`` is added to the pause before an attempt to connect.
    """

    max_staleness: float = 0.5
    heartbeat: float = 0.1
    timeout: float = 1.0
    read_timeout: float = 0.08
    max_subjects: int = 100_000
    max_backoff: float = 1.0
    spread: float = 0.0
    strict: bool = False
    accept_rolled_back: bool = False
