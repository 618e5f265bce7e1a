"""Whether the account store was rolled back: a restored dump, a stale replica promoted.

``<prefix>revision`` is raised in the transaction of every write of ours, so it only grows; each
sidecar remembers the highest it has seen. A store that shows less has lost writes, and among them
may be the one that shut somebody out. Who knows better is the operator: ``sidecar store confirm``
writes a new ``<prefix>epoch``, and from then on its revision is the one to grow.

An epoch begins with the moment it was made, and only a later one confirms: a dump from before the
last confirmation has another epoch too. A store that never had a revision is written to by others
alone (``redis-cli``); nothing can be said of it, and nothing is.

What a sidecar has seen is kept in its memory, and where the settings name a directory on disk
(``mark_file``). Without that, one that starts on a store already rolled back takes it as it is.

Writes by others (a plain ``redis-cli HSET``) revoke as fast as ours, but raise no revision, so that
their loss goes unnoticed. Considered and left: that a sidecar raise the revision when it hears of
such a write. Each of them would have to be allowed to write, all of them would at once, and what is
lost before they do is what a fail-over loses. And that the replication offset before a fail-over be
compared with where the new primary branched off: it misses no loss, but counts the server's own
pings and everybody's keys too, so that nearly every fail-over would shut everybody out.

``<prefix>schema`` is the version of how the store is laid out; without it that is 1. While a later
sidecar that lays it out anew is brought in, those from before refuse everything, and guess nothing.
"""

import logging
from dataclasses import dataclass
from typing import Any, Protocol

log = logging.getLogger(__name__)

SCHEMA = b"1"


@dataclass(frozen=True, slots=True)
class Mark:
    """Where the store stands: how often it was written to, and the epoch of its confirmation."""

    revision: int | None = None
    epoch: str = ""

    @property
    def confirmed_at(self) -> int:
        """Milliseconds since 1970; 0 for a store that was never confirmed."""
        moment, _, _ = self.epoch.partition("-")
        return int(moment) if moment.isascii() and moment.isdigit() else 0

    @property
    def rank(self) -> tuple[int, int]:
        """What the higher of two marks has more of: a later confirmation, then more writes."""
        return self.confirmed_at, -1 if self.revision is None else self.revision


def make_epoch(now: float, nonce: str) -> str:
    """Return the epoch of a confirmation at ``now`` (epoch seconds)."""
    return f"{int(now * 1000)}-{nonce}"


def read_mark(reply: Any) -> Mark:
    """Read the reply to ``MGET <prefix>revision <prefix>epoch``.

    Raises:
        TypeError, ValueError: it is none, or the revision is no number. Then nobody knows.
    """
    revision, epoch = reply
    return Mark(
        None if revision is None else int(revision),
        "" if epoch is None else epoch.decode(errors="replace"),
    )


class Memory(Protocol):
    """Keeps the highest mark, also of other processes, longer than this one lives."""

    async def load(self) -> Mark:
        """Return the highest mark that was kept; never raises."""
        ...

    def note(self, mark: Mark) -> None:
        """Have a mark kept, without waiting for it."""
        ...


class RevisionGuard:
    """Remembers the highest revision of the epoch, and compares what the store shows with it.

    Once rolled back it stays so, whatever is written: only a confirmation tells that the data
    that went missing has been seen to.
    """

    def __init__(self, *, accept: bool, memory: Memory | None = None) -> None:
        self._accept = accept
        self._memory = memory
        self._seen: Mark | None = None
        self.is_rolled_back = False
        self._schema = SCHEMA

    @property
    def problem(self) -> str | None:
        """Why nothing that the store says counts; None where it does."""
        if self._schema != SCHEMA:
            return f"the account store has schema {self._schema[:20]!r}"
        return "the account store was rolled back" if self.is_rolled_back else None

    @property
    def seen(self) -> Mark:
        """The highest mark so far."""
        return self._seen or Mark()

    @property
    def may_be_missed(self) -> bool:
        """Whether a revision was seen, so that its absence would say something."""
        return self.seen.revision is not None

    async def recall(self) -> None:
        """Take note of what was seen in an earlier life, or by another worker."""
        mark = Mark() if self._memory is None else await self._memory.load()
        if mark.rank > self.seen.rank:
            if mark.confirmed_at > self.seen.confirmed_at:
                self.is_rolled_back = False  # confirmed since; what the store shows is judged next
            self._seen = mark

    def judge_schema(self, version: bytes | None) -> None:
        """Take note of how the store is laid out."""
        before, self._schema = self._schema, version or SCHEMA
        if self._schema not in (before, SCHEMA):
            log.error(
                "the account store has schema %r, which this sidecar does not know: every request "
                "is refused. Bring in one that does",
                self._schema[:20],
            )

    def judge(self, mark: Mark) -> bool:
        """Take note of where the store stands; return whether that is a roll-back just noticed."""
        was_rolled_back = self.is_rolled_back
        if self._seen is None or mark.confirmed_at > self._seen.confirmed_at:
            self.is_rolled_back = False
        elif mark.epoch != self._seen.epoch or mark.rank < self._seen.rank:
            self.is_rolled_back = True
        noticed = self.is_rolled_back and not was_rolled_back
        if noticed:
            self._tell(mark)
        self.is_rolled_back = self.is_rolled_back and not self._accept
        if not self.is_rolled_back:
            self._seen = mark
            if self._memory is not None:
                self._memory.note(mark)
        return noticed

    def _tell(self, mark: Mark) -> None:
        lost = f"the account store was rolled back: revision {mark.revision} after "
        if self._accept:
            log.warning("%s%s; accounts.rolled_back says to accept that", lost, self.seen.revision)
        else:
            log.error(
                "%s%s. Who was shut out since then may be in again there, so every request is "
                "refused. See to the accounts, then run `sidecar store confirm`",
                lost,
                self.seen.revision,
            )
