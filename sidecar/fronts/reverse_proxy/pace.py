"""How slowly a body may come.

Only the time that is waited for the client counts: an upstream that reads slowly is not its fault.
What it sent before is no credit for later, or a client could send a lot once and then hold an
upstream connection for hours.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BodyRate:
    """``grace`` seconds of waiting have to bring ``octets`` a second; 0: however slowly."""

    octets: float = 100.0
    grace: float = 30.0


class Pace:
    """The pace of one body."""

    __slots__ = ("_came", "_due", "_grace", "_waited")

    def __init__(self, rate: BodyRate) -> None:
        self._grace = rate.grace
        self._due = rate.octets * rate.grace
        self._came = 0
        self._waited = 0.0

    def patience(self, most: float) -> float:
        """Return for how many seconds more of the body may be waited for, at ``most``."""
        return min(most, max(0.0, self._grace - self._waited)) if self._due else most

    def came(self, octets: int, waited: float) -> None:
        """Hear that so much has come after so many seconds of waiting."""
        self._came += octets
        self._waited += waited
        if self._came >= self._due:
            self._came, self._waited = 0, 0.0
