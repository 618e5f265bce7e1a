"""Reading answers off a connection, strictly: what two programs could read differently is refused.

llhttp does the parsing; what it leaves open is decided here (RFC 9112, 6.3): a length and chunks at
once, any other coding than ``chunked``, more than one length, another version than 1.0 or 1.1, an
answer that nobody asked for. No I/O, so that a test can split an answer at every octet.
"""

from collections.abc import Callable
from typing import Protocol

import httptools

from sidecar.fronts.reverse_proxy.upstream.answer_head import AnswerHead, Field, Malformed

# RFC 9110, 15.2: a client has to be ready for several; nobody needs more than these.
_MAX_INTERIM = 10
_BODILESS = frozenset({204, 304})
_LONGEST_REPEATED = 4096


class Listener(Protocol):
    """Who is told of an answer as it is read."""

    def begun(self, head: AnswerHead) -> None:
        """Hear the head of the final answer, or of a 101 that was asked for."""
        ...

    def continued(self, data: bytes) -> None:
        """Hear a piece of the body."""
        ...


# For readers that will read no more; it tells nobody of anything.
_SPENT = httptools.HttpResponseParser(object())


class AnswerReader:
    """Reads one answer after the other. ``expect`` before each, ``feed`` what comes."""

    def __init__(self, max_head_bytes: int) -> None:
        self._max_head_bytes = max_head_bytes
        self._parser = httptools.HttpResponseParser(self)
        self._feed: Callable[[bytes | memoryview], None] = self._parser.feed_data
        self._listener: Listener | None = None
        self._skips_body = False
        self._wants_upgrade = False
        self._reason = b""
        self._fields: list[Field] = []
        self._head_bytes = 0
        self._interim = 0
        self._is_1_1 = False  # seen at a glance; else the parser is asked
        # The head of the last answer that came whole in one read, and its octets.
        self._last: AnswerHead | None = None
        self._last_octets = b""
        self._problem = ""
        self.head: AnswerHead | None = None
        self.is_complete = True
        self.is_tainted = False  # something came that nobody asked for
        self.is_raw = False  # after a 101: what comes is not HTTP

    def expect(self, listener: Listener, method: str, *, upgrade: bool) -> None:
        """Make ready for the answer to a request."""
        self._listener = listener
        self._skips_body = method == "HEAD"
        self._wants_upgrade = upgrade
        self._head_bytes = self._interim = 0
        self.head = None
        self.is_complete = False

    def let_go(self) -> None:
        """Be done for good: a parser holds its reader, and the ring would be kept for long."""
        self._parser, self._feed = _SPENT, _SPENT.feed_data
        self._listener = None

    @property
    def has_begun(self) -> bool:
        """Say whether any octet of the answer has come."""
        return self._head_bytes > 0 or self.head is not None

    def feed(self, data: bytes | memoryview) -> None:
        """Read what came; nothing of ``data`` is kept.

        Raises:
            Malformed: it is no answer, or ambiguous. Nothing more can be read then.
        """
        if self.is_raw:
            assert self._listener is not None  # noqa: S101
            self._listener.continued(bytes(data))
            return
        is_first = self.head is None and not self._head_bytes and not self.is_complete
        if is_first and self._repeats(data):
            return
        self._parse(data)
        if is_first:
            self._remember(data)

    def _repeats(self, data: bytes | memoryview) -> bool:
        """Take an answer without parsing it, if its head is the last one's, octet for octet.

        It is common: what an upstream says of small answers differs in the date, once a second. The
        parser has not begun with this answer, and does not hear of it: what it would make of it is
        known. Only a whole answer is taken so, since the parser could not go on in the middle.
        """
        head, size = self._last, len(self._last_octets)
        if (
            head is None
            or head.length is None
            or len(data) != size + head.length
            or self._skips_body
            or self._wants_upgrade
            or bytes(data[:size]) != self._last_octets
        ):
            return False
        self.head = head
        assert self._listener is not None  # noqa: S101
        self._listener.begun(head)
        if head.length:
            self._listener.continued(bytes(data[size:]))
        self.is_complete = True
        return True

    def _remember(self, data: bytes | memoryview) -> None:
        """Keep the head of an answer that ``data`` is the whole of, and nothing else."""
        head = self.head
        self._last = None
        if (
            head is None
            or head.length is None
            or head.status in _BODILESS
            or not head.keeps_alive
            or not self.is_complete
            or self.is_tainted
            or self._interim
            or self._skips_body
            or self._wants_upgrade
        ):
            return
        size = len(data) - head.length
        octets = bytes(data[:size])
        # The first empty line ends the head. What came behind the body, if only a line end that the
        # parser skips, would show here.
        if size <= _LONGEST_REPEATED and octets.find(b"\r\n\r\n") == size - 4:
            self._last, self._last_octets = head, octets

    def _parse(self, data: bytes | memoryview) -> None:
        if self.head is None:
            if not self._head_bytes:
                self._is_1_1 = data[:9] == b"HTTP/1.1 "
            self._head_bytes += len(data)
        try:
            self._feed(data)
        except httptools.HttpParserUpgrade as switched:
            self._switch(bytes(data[switched.args[0] :]))
        except httptools.HttpParserError as error:
            self._give_up(error)
        if self._problem:
            raise Malformed(self._problem)
        if self.head is None and self._head_bytes > self._max_head_bytes:
            raise Malformed("the head is too large")
        if self._skips_body and self.is_complete:
            # llhttp waits for a body that a HEAD never gets (httptools issue 47).
            self._parser = httptools.HttpResponseParser(self)
            self._feed = self._parser.feed_data

    def end(self) -> bool:
        """Hear that the connection ended in good order; say whether the answer is whole."""
        head = self.head
        if not self.is_complete and head is not None and not self.is_raw:
            self.is_complete = head.length is None and not head.chunked
        return self.is_complete

    def on_message_begin(self) -> None:
        self._fields = []
        self._reason = b""
        if self.is_complete:
            self.is_tainted = True

    def on_status(self, reason: bytes) -> None:
        self._reason += reason

    def on_header(self, name: bytes, value: bytes) -> None:
        self._fields.append((name, value))

    def on_headers_complete(self) -> None:
        if self.is_complete:
            return
        status = self._parser.get_status_code()
        if status < 200 and not (status == 101 and self._wants_upgrade):
            self._interim += 1
            self._is_1_1 = False
            self._problem = self._judge_interim(status)
            return
        if self.head is not None or (status == 101 and not self._parser.should_upgrade()):
            # Without its Upgrade a 101 switches nothing, and another answer would follow it.
            self._problem = self._problem or "a 101 that switches to nothing"
            return
        head = self._read_head(status)
        if head is None:
            return
        self.head = head
        assert self._listener is not None  # noqa: S101
        self._listener.begun(head)
        if self._skips_body:
            self.is_complete = True

    def on_chunk_header(self) -> None:
        if self.is_complete:
            self.is_tainted = True  # a chunk after the answer to a HEAD

    def on_body(self, data: bytes) -> None:
        if self.is_complete or self.head is None:
            self.is_tainted = True
        elif self._listener is not None:
            self._listener.continued(data)

    def on_message_complete(self) -> None:
        if self.head is not None and self.head.status != 101:
            self.is_complete = True

    def _read_head(self, status: int) -> AnswerHead | None:
        parser = self._parser
        head = AnswerHead(status, self._reason, self._fields)
        self._fields = []  # what comes now are trailers, and no part of the head
        try:
            head.sort("1.1" if self._is_1_1 else parser.get_http_version())
            if self._head_bytes > self._max_head_bytes < head.octets():
                raise Malformed("the head is too large")  # noqa: TRY301
        except Malformed as malformed:
            self._problem = self._problem or str(malformed)
        head.keeps_alive = parser.should_keep_alive()
        return None if self._problem else head

    def _judge_interim(self, status: int) -> str:
        if status == 101:
            return "a 101 that nobody asked for"
        if self._interim > _MAX_INTERIM:
            return "too many interim answers"
        return ""

    def _switch(self, rest: bytes) -> None:
        if self.head is None or self.head.status != 101:
            self._problem = self._problem or "a switch of protocols that nobody asked for"
            return
        self.is_raw = True
        if rest and self._listener is not None:
            self._listener.continued(rest)

    def _give_up(self, error: httptools.HttpParserError) -> None:
        if isinstance(error, httptools.HttpParserCallbackError) and error.__context__ is not None:
            raise error.__context__
        if self.is_complete:
            self.is_tainted = True  # the answer is whole; what follows it is somebody's mistake
        else:
            # The kind of the error alone: its text quotes what upstream sent.
            self._problem = self._problem or type(error).__name__
