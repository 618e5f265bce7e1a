"""How many connections a door holds at one time, of all clients and of one.

Whoever comes over that is turned away before a byte of it is read: an idle connection costs memory
and a descriptor, and without descriptors neither Redis nor upstream can be reached again.
"""

import asyncio
import logging
from collections import Counter
from dataclasses import dataclass, field

from sidecar.core.connections import ConnectionObserver, ConnectionRefusal
from sidecar.fronts.forwarded import TrustedProxies

log = logging.getLogger(__name__)

_LOG_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Room:
    """How many may be there: ``in_all``, and ``per_peer`` of one address (0: as many as it likes).

    ``exempt`` are proxies: behind one address of theirs are many clients.
    """

    in_all: int = 10_000
    per_peer: int = 0
    exempt: TrustedProxies = field(default_factory=TrustedProxies)


class Place:
    """A connection's place among the others, until it leaves."""

    __slots__ = ("_admission", "_peer")

    def __init__(self, admission: "Admission", peer: str) -> None:
        self._admission: Admission | None = admission
        self._peer = peer

    def leave(self) -> None:
        """Make room. Leaving twice is leaving once."""
        admission, self._admission = self._admission, None
        if admission is not None:
            admission.left(self._peer)


class Admission:
    """Lets connections in, and counts those that are there."""

    def __init__(self, room: Room, observer: ConnectionObserver) -> None:
        self._room = room
        self._observer = observer
        self._of_peer: Counter[str] = Counter()
        self._quiet_until: dict[ConnectionRefusal, float] = {}
        self.present = 0

    def enter(self, peer: str) -> Place | None:
        """Give a place to a connection from ``peer``; None if there is none, which is counted."""
        room = self._room
        if self.present >= room.in_all:
            self.refused(ConnectionRefusal.LIMIT)
            return None
        if room.per_peer and not room.exempt.trusts(peer):
            if self._of_peer[peer] >= room.per_peer:
                self.refused(ConnectionRefusal.PEER_LIMIT)
                return None
            self._of_peer[peer] += 1
        self.present += 1
        self._observer.connected(1)
        return Place(self, peer)

    def left(self, peer: str) -> None:
        """Hear that a connection from ``peer`` has ended."""
        self.present -= 1
        self._observer.connected(-1)
        if peer in self._of_peer:
            self._of_peer[peer] -= 1
            if not self._of_peer[peer]:
                del self._of_peer[peer]

    def refused(self, reason: ConnectionRefusal, detail: str = "") -> None:
        """Count one that is turned away; the log hears of each reason once a minute."""
        self._observer.connection_refused(reason)
        now = asyncio.get_running_loop().time()
        if now >= self._quiet_until.get(reason, 0.0):
            self._quiet_until[reason] = now + _LOG_SECONDS
            why = f"{reason}: {detail}" if detail else reason.value
            log.warning("connections are refused (%s); %d are open", why, self.present)
