"""The decision log: one JSON object a line for each decision, account change and revocation.

Lines are made on the hot path and written by a thread of their own: a reader that stalls must not
stall the requests. What does not fit in between is dropped and counted, never waited for.

Measured: 8 us a line on the event loop, 7 of them to make its JSON.
"""

import json
import logging
import os
import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from enum import StrEnum
from select import PIPE_BUF
from typing import Self, TextIO

from typing_extensions import override

from sidecar.core.decision import Decision, Grant, caller_in, denial_in
from sidecar.core.principal import Caller, Principal
from sidecar.core.request import AccessRequest
from sidecar.core.subject import Account
from sidecar.observability.process_log import timestamp
from sidecar.observability.redaction import harmless
from sidecar.observability.silent import SilentObserver
from sidecar.ports import AuditRecord, Clock, CutReason

log = logging.getLogger(__name__)

_CAPACITY = 10_000
_LONGEST_PATH = 1024
_LONGEST_HOST = 255
_FLUSH_SECONDS = 2.0
_GATHER_SECONDS = 0.01


# ASCII only: no line end or terminal escape of a client's survives.
_encode = json.JSONEncoder().encode


class Logged(StrEnum):
    """Which decisions are logged."""

    ALL = "all"
    DENIED = "denied"
    NONE = "none"


class LineWriter:
    """Writes lines to a stream from a thread. A context manager: its end flushes.

    ``dropped`` is told how many lines found no room; the end waits ``flush_seconds`` at most.
    """

    def __init__(
        self,
        stream: TextIO,
        dropped: Callable[[int], None],
        *,
        capacity: int = _CAPACITY,
        flush_seconds: float = _FLUSH_SECONDS,
        is_shared: bool = False,
    ) -> None:
        # Many small writes cost the event loop a fifth of a request: only where others write too.
        self._pieces = _pieces if is_shared else _whole
        self._put = _way_into(stream)
        self._dropped = dropped
        self._capacity = capacity
        self._flush_seconds = flush_seconds
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._lost = 0
        self._lost_guard = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="decision-log", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._lines.put(None)
        self._thread.join(self._flush_seconds)
        if self._thread.is_alive():
            log.warning("the decision log could not be written to its end: nobody reads it")

    def write(self, line: str) -> None:
        """Have a line written, or drop it; never waits."""
        if self._lines.qsize() < self._capacity:
            self._lines.put(line)
        else:
            self._drop(1)

    def _run(self) -> None:
        ended = False
        while not ended:
            batch = [self._lines.get()]
            # To be woken for each line would cost the event loop far more than the line.
            time.sleep(_GATHER_SECONDS)
            while len(batch) < self._capacity and not self._lines.empty():
                batch.append(self._lines.get())
            lines = [line for line in batch if line is not None]
            ended = len(lines) < len(batch)
            if lines:
                self._write_all(lines)
        self._tell_what_is_lost()

    def _write_all(self, lines: list[str]) -> None:
        try:
            for piece in self._pieces(lines):
                self._put(piece)
        except (OSError, ValueError):
            # Whoever read it has gone. Serving goes on; the count shows what is missing.
            self._drop(len(lines))
        else:
            if self._lines.empty():
                self._tell_what_is_lost()

    def _drop(self, lines: int) -> None:
        with self._lost_guard:
            self._lost += lines
        self._dropped(lines)

    def _tell_what_is_lost(self) -> None:
        with self._lost_guard:
            lost, self._lost = self._lost, 0
        if lost:
            log.warning("the decision log dropped %d lines: its reader was too slow or gone", lost)


class DecisionLog(SilentObserver):
    """Implements ``ports.Observer``: decisions as ``logged`` says, account changes always."""

    def __init__(self, writer: LineWriter, logged: Logged, clock: Clock) -> None:
        self._writer = writer
        self._logged = logged
        self._clock = clock

    @override
    def decided(self, request: AccessRequest, decision: Decision, seconds: float) -> None:
        if self._logged is Logged.ALL or (
            self._logged is Logged.DENIED and denial_in(decision) is not None
        ):
            self._writer.write(decision_line(request, decision, seconds, self._clock.now()))

    @override
    def spared(self, reason: CutReason, grant: Grant) -> None:
        if self._logged is not Logged.NONE:
            self._writer.write(spared_line(reason, grant, self._clock.now()))

    @override
    def audited(self, record: AuditRecord) -> None:
        self._writer.write(audit_line(record))


def decision_line(request: AccessRequest, decision: Decision, seconds: float, now: float) -> str:
    """Return one decision as a line."""
    return _encode(decision_members(request, decision, seconds, now))


def decision_members(
    request: AccessRequest, decision: Decision, seconds: float, now: float
) -> dict[str, object]:
    """Return a decision: who asked what, and what became of it. No token, no query.

    What a route's shadow has let through is told as the denial that it would have been, with
    ``enforced`` false.
    """
    line: dict[str, object] = {
        "ts": timestamp(now),
        "event": "decision",
        "outcome": "granted",
        "reason": "",
        "method": request.method[:32],
        "path": harmless(request.path[:_LONGEST_PATH]),
        "host": harmless(request.host[:_LONGEST_HOST]),
        "peer": request.peer,
        "request_id": request.request_id,
        "duration_us": round(seconds * 1e6, 1),
    }
    if request.trace is not None:
        line["trace_id"] = request.trace.trace_id
    deny = denial_in(decision)
    if deny is not None:
        line |= {"outcome": "denied", "reason": deny.reason.value, "detail": harmless(deny.detail)}
        if isinstance(decision, Grant):
            line["enforced"] = False
    line["route"] = decision.route.name if decision.route is not None else ""
    if isinstance(decision, Grant) and decision.principal is not None:
        line["kind"] = decision.principal.kind.value
        if decision.principal.binding:
            line["binding"] = decision.principal.binding
    line |= _caller_members(caller_in(decision))
    return line


def spared_line(reason: CutReason, grant: Grant, now: float) -> str:
    """Return one stream that goes on and would have been cut, were its route enforced."""
    line = {"ts": timestamp(now), "event": "cut", "reason": reason.value, "enforced": False}
    return _encode(line | {"route": grant.route.name} | _caller_members(caller_in(grant)))


def _caller_members(caller: Principal | Caller | None) -> dict[str, object]:
    if caller is None:
        return {}
    return {
        "realm": caller.key.realm,
        "subject": caller.key.subject,
        "issuer": caller.issuer,
        "client_id": caller.client_id,
        "token_id": caller.token_id,
    }


def audit_line(record: AuditRecord) -> str:
    """Return one change of an account, or one revocation, as a line."""
    line: dict[str, object] = {
        "ts": timestamp(record.at),
        "event": "account",
        "action": record.action,
        "actor": record.actor,
        "realm": record.key.realm,
    }
    if record.token_id is not None:
        line |= {"event": "token", "token_id": record.token_id, "until": record.until}
    elif record.not_before is not None:
        line |= {"event": "realm", "not_before": record.not_before}
    elif record.streams is not None:
        line |= {"event": "streams", "subject": record.key.subject, "streams": record.streams}
    else:
        before, after = _members(record.before), _members(record.after)
        line |= {"subject": record.key.subject, "before": before, "after": after}
    return _encode(line)


def _whole(lines: Iterable[str]) -> Iterator[str]:
    yield "".join(line + "\n" for line in lines)


def _pieces(lines: Iterable[str]) -> Iterator[str]:
    """Yield whole lines, in pieces that a pipe takes at once.

    All workers write to one stdout. What is longer than ``PIPE_BUF`` may be "interleaved with data
    from other processes" (POSIX, write), and a torn line is one that nobody can read. A line that
    is longer by itself has a piece of its own.
    """
    piece = ""
    for line in lines:
        if piece and len(piece) + len(line) >= PIPE_BUF:
            yield piece
            piece = ""
        piece += line + "\n"
    if piece:
        yield piece


def _way_into(stream: TextIO) -> Callable[[str], object]:
    """Return how to write to the stream: past its buffer, where it has a descriptor.

    A thread that waits for the reader holds the buffer's lock, and Python waits for that lock when
    the process ends: a reader that stalls would keep it from ending.
    """
    try:
        stream.fileno()
    except OSError:  # it is in memory
        return stream.write

    def write(text: str) -> None:
        rest = text.encode()
        while rest:
            # Asked anew each time: the number of a closed stream may be another file's by now.
            rest = rest[os.write(stream.fileno(), rest) :]

    return write


def _members(account: Account | None) -> dict[str, object] | None:
    if account is None:
        return None
    return {
        "name": account.name,
        "groups": list(account.groups),
        "status": account.status.value,
        "not_before": account.not_before,
    }
