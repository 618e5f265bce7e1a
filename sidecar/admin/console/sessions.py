"""Who is signed in to the console, in memory: the admin listener is one process.

A session is named by chance alone, which only its browser's cookie has; here is its digest. It ends
when nothing was asked for so long, after a day's work in any case, and when its holder signs out.
"""

import hashlib
import secrets
from collections import OrderedDict
from dataclasses import dataclass, field

from sidecar.ports import Clock

_IDLE_SECONDS = 30 * 60.0
_LONGEST_SECONDS = 12 * 3600.0
_MOST = 200


@dataclass(slots=True)
class Session:
    """Somebody who is signed in: ``who`` as the audit record names them.

    ``shown`` is what opened it; empty where it was a certificate. ``csrf`` is in each form of
    theirs, ``notice`` what the next page is to say.
    """

    who: str
    shown: tuple[str, ...] = field(repr=False)
    began: float
    used: float
    csrf: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)
    notice: str = ""


class Sessions:
    """All of them, ``most`` at most: then the one that was unused for longest ends."""

    def __init__(
        self,
        clock: Clock,
        *,
        idle_seconds: float = _IDLE_SECONDS,
        longest_seconds: float = _LONGEST_SECONDS,
        most: int = _MOST,
    ) -> None:
        self._clock = clock
        self._idle_seconds = idle_seconds
        self._longest_seconds = longest_seconds
        self._most = most
        self._by_digest: OrderedDict[bytes, Session] = OrderedDict()

    def begin(self, who: str, shown: tuple[str, ...]) -> tuple[str, Session]:
        """Return the name of a new session, for its cookie, and the session."""
        name, now = secrets.token_urlsafe(32), self._clock.steady()
        session = self._by_digest[_digest(name)] = Session(who, shown, now, now)
        if len(self._by_digest) > self._most:
            self._by_digest.popitem(last=False)
        return name, session

    def find(self, name: str, *, touch: bool = True) -> Session | None:
        """Return the session unless it has ended. To ``touch`` it puts off its end by idleness."""
        digest = _digest(name)
        session = self._by_digest.get(digest)
        if session is None:
            return None
        if self._has_ended(session):
            del self._by_digest[digest]
            return None
        if touch:
            session.used = self._clock.steady()
            self._by_digest.move_to_end(digest)
        return session

    def end(self, name: str) -> None:
        """End the session, if there is one."""
        self._by_digest.pop(_digest(name), None)

    def is_anybody(self) -> bool:
        """Say whether somebody is signed in."""
        return any(not self._has_ended(each) for each in self._by_digest.values())

    def _has_ended(self, session: Session) -> bool:
        now = self._clock.steady()
        return (
            now - session.used >= self._idle_seconds or now - session.began >= self._longest_seconds
        )


def _digest(name: str) -> bytes:
    return hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest()
