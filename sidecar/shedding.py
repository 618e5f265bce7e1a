"""Refusing some at once, so that the others are served in time.

What waits in a loop that cannot keep up gets later and later, until every client has given up on an
answer that was still worked for. So a part of the requests is refused before anything is done for
them: when too many are in flight, and when the event loop has been late for a while.
"""

from typing import Protocol

from sidecar.core.decision import Deny, DenyReason

# What is refused of all requests grows while the loop stays late, and fades when it is well again.
# Never all: somebody has to get through, and without load nothing could be learned.
_STEP = 0.05
_MOST = 0.95
_FADING = 0.9
_NOTHING = 0.01
_WELL = 0.5


class Book(Protocol):
    """Knows how many requests are in flight."""

    in_flight: int


class Shedder:
    """Says which requests are refused before they are decided.

    ``max_lag`` is how many seconds the event loop may be late, if it is so for ``patience`` seconds
    without a break (as CoDel has it: a short queue is no overload, one that stays is); 0 for any
    number. Between half of it and all of it nothing changes, so that the share settles.
    """

    def __init__(self, book: Book, max_in_flight: int, max_lag: float, patience: float) -> None:
        self._book = book
        self._max_in_flight = max_in_flight
        self._max_lag = max_lag
        self._patience = patience
        self._late_since: float | None = None
        self._turn = 0.0
        self.share = 0.0
        """Which part of the requests is refused because the loop is late."""

    def heard(self, lag: float, now: float) -> None:
        """Take how many seconds the event loop is late; ``now`` is steady seconds."""
        if not self._max_lag:
            return
        if lag < self._max_lag:
            self._late_since = None
            if self.share and lag < self._max_lag * _WELL:
                self.share = self.share * _FADING if self.share > _NOTHING else 0.0
        elif self._late_since is None:
            self._late_since = now
        elif now - self._late_since >= self._patience:
            self.share = min(_MOST, self.share + _STEP)

    def refusal(self) -> Deny | None:
        """Return the refusal of the next request, or None if it may be decided."""
        if self._book.in_flight >= self._max_in_flight:
            return Deny(DenyReason.OVERLOADED, "too many requests are in flight")
        if self.share:
            # In turn and not by lot: of any twenty in a row the same number gets through.
            self._turn += self.share
            if self._turn >= 1.0:
                self._turn -= 1.0
                return Deny(DenyReason.OVERLOADED, "the event loop is late")
        return None
