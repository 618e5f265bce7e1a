"""The lines of a decision log, read back: out of files, compressed or not, or from a pipe.

Whoever sends requests chooses what is in a log, and between its lines there may be anything. So
each line is bounded, and what is none of ours is counted and left out.
"""

import gzip
import io
import re
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Annotated, Literal, Protocol

from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError

LONGEST_LINE = 64 * 1024
"""Octets. Of what clients choose ours have some thousand letters at most, so none comes near it."""

# What a container's or the system's log may have put before it ends where this begins.
_BEGIN = b'{"ts":'
# ASCII alone: times are compared as text.
_TIME = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z$"
_HALF = re.compile(rb"\\ud[89a-f][0-9a-f]{2}")
_GZIP = b"\x1f\x8b"


class Octets(Protocol):
    """What lines are read from."""

    def readline(self, size: int, /) -> bytes: ...


class NotReadable(Exception):
    """A log breaks off, or is not what it seems; what came before counts. The message says why."""


class Line(BaseModel):
    """A decision, or a stream that a route's shadow let go on. ``ts`` is as the log writes it."""

    model_config = ConfigDict(frozen=True, strict=True)

    ts: Annotated[str, StringConstraints(pattern=_TIME)]
    event: Literal["decision", "cut"]
    outcome: Literal["granted", "denied", ""] = ""
    reason: str = ""
    detail: str = ""
    enforced: bool = True
    route: str = ""
    method: str = ""
    path: str = ""
    peer: str = ""
    realm: str = ""
    subject: str = ""
    issuer: str = ""
    client_id: str = ""


def read_line(octets: bytes) -> Line | None:
    """Return what a line of a log says; None where it is no decision."""
    begin = octets.find(_BEGIN)
    if begin < 0:
        return None
    line = _valid(octets[begin:])
    # A path that is no UTF-8 has halves of letters in it.
    if line is None and b"\\ud" in octets:
        line = _valid(_HALF.sub(rb"\\ufffd", octets[begin:]))
    return None if line is None or (line.event == "decision" and not line.outcome) else line


def _valid(octets: bytes) -> Line | None:
    try:
        return Line.model_validate_json(octets)
    except ValidationError:
        return None


def lines_of(stream: Octets) -> Iterator[bytes]:
    """Yield each line; of one that is too long only that there is one.

    Raises:
        NotReadable: the compressed file breaks off, or is none.
    """
    whole = True
    try:
        while piece := stream.readline(LONGEST_LINE):
            ends = piece.endswith(b"\n")
            if whole and (ends or len(piece) < LONGEST_LINE):
                yield piece
            elif ends:
                yield b""
            whole = ends
    except (OSError, EOFError, zlib.error) as problem:
        raise NotReadable(str(problem) or type(problem).__name__) from None


@contextmanager
def opened(place: str) -> Iterator[Octets]:
    """Open a log, ``-`` for stdin. Whether it is compressed it says itself.

    Raises:
        OSError: it cannot be opened.
    """
    with nullcontext(sys.stdin.buffer) if place == "-" else Path(place).open("rb") as stream:
        buffered = stream if isinstance(stream, io.BufferedReader) else io.BufferedReader(stream)  # type: ignore[type-var]
        if buffered.peek(2)[:2] == _GZIP:
            with gzip.GzipFile(fileobj=buffered) as unpacked:
                yield unpacked
        else:
            yield buffered
