"""What was changed, kept where the accounts are: beside the log, never instead of it.

A change is told to the log first. That its record then cannot be kept undoes nothing: it is said in
the log, and counted.
"""

import asyncio
import json
import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from redis.asyncio import Redis

from sidecar.adapters.redis_client import mapped
from sidecar.cancelling import check_not_cancelled
from sidecar.ports import AuditRecord, StatusUnavailable

log = logging.getLogger(__name__)

_WAITING = 1000


@dataclass(frozen=True, slots=True)
class Entry:
    """A record that was kept. ``id`` grows; ``record`` has the members of its line in the log."""

    id: str
    record: dict[str, Any]


class AuditLog(Protocol):
    """Where records are kept. Every method raises StatusUnavailable when it does not answer."""

    async def append(self, line: str) -> None:
        """Keep a record, and forget the oldest where there are too many."""
        ...

    async def newest(self, limit: int, before: str | None) -> Sequence[Entry]:
        """Return so many, the newest first; of those older than ``before``, if that is given.

        Raises:
            ValueError: ``before`` is no id.
        """
        ...


class RedisAuditLog:
    """Implements ``AuditLog`` by a Redis stream of about ``entries`` entries."""

    def __init__(self, client: Redis, key: str, entries: int) -> None:
        self._client: Any = client
        self._key = key
        self._entries = entries

    async def append(self, line: str) -> None:
        async with mapped():
            await self._client.xadd(
                self._key, {"record": line}, maxlen=self._entries, approximate=True
            )

    async def newest(self, limit: int, before: str | None) -> Sequence[Entry]:
        last = "+"
        if before is not None:
            moment = _read_id(before)
            if moment == (0, 0):
                return []  # Redis has no interval that ends before its beginning
            last = "({}-{}".format(*moment)
        async with mapped():
            found = await self._client.xrevrange(self._key, max=last, count=limit)
        return [Entry(each, _read_record(fields)) for each, fields in found]


class MemoryAuditLog:
    """Implements ``AuditLog`` for accounts in ``memory://``."""

    def __init__(self, entries: int) -> None:
        self._kept: deque[Entry] = deque(maxlen=entries)
        self._count = 0

    async def append(self, line: str) -> None:
        self._count += 1
        self._kept.append(Entry(f"{self._count}-0", json.loads(line)))

    async def newest(self, limit: int, before: str | None) -> Sequence[Entry]:
        last = None if before is None else _read_id(before)
        older = [each for each in reversed(self._kept) if last is None or _read_id(each.id) < last]
        return older[:limit]


class AuditTrail:
    """Implements ``ports.Auditor``. ``run`` keeps what it hears, one after the other.

    ``write`` makes a record's line, ``lost`` is called for each that cannot be kept.
    """

    def __init__(
        self, kept: AuditLog, write: Callable[[AuditRecord], str], lost: Callable[[], None]
    ) -> None:
        self._kept = kept
        self._write = write
        self._lost = lost
        self._waiting: asyncio.Queue[AuditRecord] = asyncio.Queue(_WAITING)

    def audited(self, record: AuditRecord) -> None:
        try:
            self._waiting.put_nowait(record)
        except asyncio.QueueFull:
            self._lose(record, "too many wait already")

    async def run(self) -> None:
        """Keep what is heard until cancelled."""
        while True:
            record = await self._waiting.get()
            try:
                await self._kept.append(self._write(record))
            except StatusUnavailable as problem:
                self._lose(record, str(problem))
            except Exception:
                log.exception("an audit record could not be kept")
                self._lose(record, "see above")
            finally:
                self._waiting.task_done()
            check_not_cancelled()

    async def settle(self, seconds: float) -> None:
        """Wait until what was heard is kept or lost, so many seconds at most."""
        try:
            async with asyncio.timeout(seconds):
                await self._waiting.join()
        except TimeoutError:
            log.warning("audit records are still on their way to the account store")

    async def newest(self, limit: int, before: str | None) -> Sequence[Entry]:
        """Return what is kept, as ``AuditLog.newest`` does."""
        return await self._kept.newest(limit, before)

    def _lose(self, record: AuditRecord, why: str) -> None:
        self._lost()
        log.error(
            "the record of %s by %s is in the log alone: %s", record.action, record.actor, why
        )


def _read_id(text: str) -> tuple[int, int]:
    milliseconds, dash, sequence = text.partition("-")
    if not (dash and _is_number(milliseconds) and _is_number(sequence)):
        raise ValueError("expected an id such as 1767225600000-0")
    return int(milliseconds), int(sequence)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 19


def _read_record(fields: dict[str, str]) -> dict[str, Any]:
    try:
        record = json.loads(fields["record"])
    except (KeyError, ValueError, RecursionError):
        record = None
    # What somebody wrote by hand must not hide all others.
    return record if isinstance(record, dict) else {"event": "unreadable"}
