"""How a response is framed for the client that asked (RFC 9112, 6): one place for both ways."""

from collections.abc import Sequence
from functools import lru_cache

from sidecar.fronts.reverse_proxy.response_head import Field, has_body, phrase_of, write_head
from sidecar.fronts.reverse_proxy.upstream.answer_head import AnswerHead

_NO_LENGTH = b"content-length"


class Framing:
    """The framing of one response. ``stays`` says whether the connection outlives it."""

    __slots__ = ("_is_old", "_method", "has_body", "is_chunked", "stays")

    def __init__(self, method: str, version: tuple[int, int], *, stays: bool) -> None:
        self._method = method
        self._is_old = version < (1, 1)
        self.stays = stays
        self.is_chunked = False
        self.has_body = False

    def begin_as(self, head: AnswerHead) -> bytes:
        """Return the head that passes upstream's on; without a line of ours it is written once.

        Raises:
            SplitResponse: as ``begin``.
        """
        if head.length is None or self._is_old or not self.stays or head.status == 204:
            return self.begin(head.status, head.reason, head.end_to_end, head.length)
        self.is_chunked = False
        self.has_body = has_body(self._method, head.status)
        if not head.written:
            head.written = write_head(head.status, head.reason, head.end_to_end)
        return head.written

    def begin(self, status: int, reason: bytes, fields: list[Field], length: int | None) -> bytes:
        """Return the head. A body without ``length`` is chunked, or ends with the connection.

        Raises:
            SplitResponse: the head cannot be written safely.
        """
        self.is_chunked = False
        self.has_body = has_body(self._method, status)
        if status == 204:  # RFC 9110, 8.6: no length in a 204
            fields = [field for field in fields if field[0].lower() != _NO_LENGTH]
        if self.has_body and length is None:
            if self._is_old:
                self.stays = False
            else:
                self.is_chunked = True
                fields = [*fields, (b"Transfer-Encoding", b"chunked")]
        if not self.stays:
            fields = [*fields, (b"Connection", b"close")]
        elif self._is_old:
            fields = [*fields, (b"Connection", b"keep-alive")]
        return write_head(status, reason, fields)

    def whole(self, status: int, fields: Sequence[Field], body: bytes) -> bytes:
        """Return a whole response of ours."""
        if self.stays and not self._is_old and status != 204:
            self.is_chunked = False
            self.has_body = has_body(self._method, status)
            head = _usual_head(status, tuple(fields), len(body))
            return head + body if self.has_body else head
        sized = [*fields, (b"Content-Length", b"%d" % len(body))]
        head = self.begin(status, phrase_of(status), sized, len(body))
        return head if self._method == "HEAD" else head + body


@lru_cache(maxsize=256)  # a flood of refusals differs in nothing but the request's id
def _usual_head(status: int, fields: tuple[Field, ...], length: int) -> bytes:
    return write_head(status, phrase_of(status), [*fields, (b"Content-Length", b"%d" % length)])
