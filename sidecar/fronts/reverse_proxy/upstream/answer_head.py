"""The head of an answer: its fields sorted once, and how its body ends (RFC 9112, 6.3).

What can be read in two ways is refused: a length and chunks at once, more than one of either, any
other coding than ``chunked``, chunks in HTTP/1.0.
"""

from enum import Enum, auto

from sidecar.fronts.hop_by_hop import HOP_BY_HOP, read_options
from sidecar.fronts.name_memory import NameMemory

Field = tuple[bytes, bytes]


class _Kind(Enum):
    KEPT = auto()
    DROPPED = auto()
    LENGTH = auto()
    CODING = auto()
    TYPE = auto()
    CONNECTION = auto()


_BY_NAME = {
    b"content-length": _Kind.LENGTH,
    b"transfer-encoding": _Kind.CODING,
    b"content-type": _Kind.TYPE,
    b"connection": _Kind.CONNECTION,
}
_LONGEST_LENGTH = 19
_MAX_LENGTH = 2**63 - 1  # what signed readers can hold
_COMMON_OPTIONS = frozenset({b"keep-alive", b"close"})


class Malformed(Exception):
    """What came is no answer by HTTP/1.1, or one that can be read in two ways."""


class AnswerHead:
    """Status, reason and fields of an answer, as they came, and how its body ends.

    ``length`` is the body's length where it is told; a body without is ``chunked`` or ends with the
    connection. ``keeps_alive`` says whether upstream lets the connection be used again.
    ``end_to_end`` are the fields that go on to the client; ``written`` is the head that they make,
    where it was written before. Several answers may share one head: it is not changed once sorted.
    """

    __slots__ = (
        "chunked", "end_to_end", "fields", "is_event_stream", "keeps_alive", "length", "reason",
        "status", "written",
    )  # fmt: skip

    def __init__(self, status: int, reason: bytes, fields: list[Field]) -> None:
        self.status = status
        self.reason = reason
        self.fields = fields
        self.length: int | None = None
        self.chunked = False
        self.keeps_alive = False
        self.is_event_stream = False
        self.written = b""
        self.end_to_end: list[Field] = fields

    def sort(self, version: str) -> None:
        """Sort the fields and find out how the body ends.

        Raises:
            Malformed: that is ambiguous.
        """
        lengths: list[bytes] = []
        codings: list[bytes] = []
        options: list[bytes] = []
        kept = self.end_to_end = []
        for each in self.fields:
            name, value = each
            kind = _kinds[name]
            if kind is _Kind.KEPT:
                kept.append(each)
            elif kind is _Kind.LENGTH:
                length = value.rstrip(b" \t")  # RFC 9112, 5: no part of it; llhttp leaves it there
                lengths.append(length)
                kept.append((name, length))
            elif kind is _Kind.TYPE:
                # One of several is enough: what has no end must not be let run on as if it had.
                self.is_event_stream = self.is_event_stream or _is_event_stream(value)
                kept.append(each)
            elif kind is _Kind.CODING:
                codings.append(value)
            elif kind is _Kind.CONNECTION and value not in _COMMON_OPTIONS:
                options.append(value)
        self._frame(version, lengths, codings)
        if options:
            self._drop_named(options)

    def _frame(self, version: str, lengths: list[bytes], codings: list[bytes]) -> None:
        if version not in ("1.1", "1.0"):
            raise Malformed("neither HTTP/1.0 nor HTTP/1.1")
        if lengths:
            if len(lengths) > 1 or not lengths[0].isdigit() or len(lengths[0]) > _LONGEST_LENGTH:
                raise Malformed("Content-Length is not one length")
            self.length = int(lengths[0])
            if self.length > _MAX_LENGTH:
                raise Malformed("Content-Length is not one length")
        if codings:
            if lengths or version == "1.0" or [each.lower() for each in codings] != [b"chunked"]:
                raise Malformed("Transfer-Encoding is ambiguous")
            self.chunked = True

    def _drop_named(self, options: list[bytes]) -> None:
        """Leave out what ``Connection`` names; but the framing stays ours to know."""
        named = read_options(options)
        self.end_to_end = [
            each
            for each in self.end_to_end
            if (name := each[0].lower()) not in named or name == b"content-length"
        ]

    def octets(self) -> int:
        """Return the size of what is kept of the head: reason, names and values."""
        return len(self.reason) + sum(len(name) + len(value) for name, value in self.fields)


def _is_event_stream(value: bytes) -> bool:
    return value.partition(b";")[0].strip().lower() == b"text/event-stream"


def _kind_of(name: bytes) -> _Kind:
    lower = name.lower()
    return _BY_NAME.get(lower, _Kind.DROPPED if lower in HOP_BY_HOP else _Kind.KEPT)


# Known names cost one look-up, however they are spelled.
_kinds = NameMemory(_kind_of)
