"""What a proxy has to know of WebSocket (RFC 6455): the handshake, and where frames end.

Frames pass through untouched, extensions and masks included. Their ends are followed only so that
a close frame of ours, when the subject is revoked, stands between two of them.
"""

import base64
import hashlib
import hmac
import struct
from collections.abc import Iterable

from sidecar.core.decision import Denied, DenyReason
from sidecar.fronts.hop_by_hop import read_options

# RFC 6455, 7.4.1
GOING_AWAY = 1001
POLICY_VIOLATION = 1008

# RFC 6455, 1.3: what the server hashes together with the client's key.
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_KEY_OCTETS = 16

Field = tuple[bytes, bytes]


def read_handshake_key(method: str, fields: Iterable[Field]) -> bytes:
    """Return the ``Sec-WebSocket-Key`` of a client's handshake.

    Raises:
        Denied: MALFORMED_REQUEST where it is none by RFC 6455, 4.2.1.
    """
    fields = list(fields)
    keys = values_of(fields, b"sec-websocket-key")
    versions = values_of(fields, b"sec-websocket-version")
    if method != "GET" or versions != [b"13"] or len(keys) != 1 or not _is_key(keys[0]):
        raise Denied(DenyReason.MALFORMED_REQUEST, "not a WebSocket handshake")
    return keys[0]


def is_accepted(key: bytes, fields: Iterable[Field]) -> bool:
    """Say whether upstream's 101 answers this handshake and no other (RFC 6455, 4.1).

    A 101 from what is no WebSocket server would open a tunnel through the decision.
    """
    fields = list(fields)
    upgrade = [value.strip().lower() for value in values_of(fields, b"upgrade")]
    options = read_options(values_of(fields, b"connection"))
    accept = values_of(fields, b"sec-websocket-accept")
    digest = hashlib.sha1(key + _GUID, usedforsecurity=False).digest()
    return (
        upgrade == [b"websocket"]
        and b"upgrade" in options
        and len(accept) == 1
        and hmac.compare_digest(accept[0].strip(), base64.b64encode(digest))
    )


def values_of(fields: Iterable[Field], name: bytes) -> list[bytes]:
    """Return the values of every field of this name (in lower case), in their order."""
    return [value for given, value in fields if given.lower() == name]


def close_frame(code: int, reason: str) -> bytes:
    """Return a server's close frame (RFC 6455, 5.5.1); ``reason`` is cut to what fits."""
    payload = struct.pack("!H", code) + reason.encode()[:123]
    return bytes((0x88, len(payload))) + payload


class FrameEnds:
    """Follows a stream of frames: are we between two of them, and was one a close frame?"""

    def __init__(self) -> None:
        self._header = b""
        self._left = 0
        self.closing = False

    @property
    def is_between(self) -> bool:
        """Say whether the last frame has ended and no other has begun."""
        return not self._left and not self._header

    def feed(self, data: bytes) -> None:
        """Go on over the next octets of the stream."""
        at = 0
        while at < len(data):
            if self._left:
                step = min(self._left, len(data) - at)
                self._left -= step
                at += step
                continue
            self._header += data[at : at + 1]
            at += 1
            self._read_header()

    def _read_header(self) -> None:
        header = self._header
        if len(header) < 2:
            return
        length = header[1] & 0x7F
        extended = {126: 2, 127: 8}.get(length, 0)
        mask = 4 if header[1] & 0x80 else 0
        if len(header) < 2 + extended + mask:
            return
        if extended:
            length = int.from_bytes(header[2 : 2 + extended], "big")
        self.closing = self.closing or header[0] & 0x0F == 0x8
        self._left = length
        self._header = b""


def _is_key(text: bytes) -> bool:
    try:
        return len(base64.b64decode(text.strip(), validate=True)) == _KEY_OCTETS
    except ValueError:
        return False
