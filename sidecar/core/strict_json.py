"""JSON from strangers: duplicate members, NaN, byte-order marks and deep nesting are refused.

RFC 8259, 4 leaves duplicate names to the reader, so a fleet of readers disagrees; RFC 7519, 4 lets
us refuse them. The standard decoder also accepts ``NaN`` and UTF-16, and overflows its stack.
"""

import json
import re
from array import array
from itertools import accumulate
from typing import Any, NoReturn

MAX_DEPTH = 32

# A string that does not end goes to the end of the text, else each quote in it would be tried anew.
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
_STEPS = bytes.maketrans(b"{[}]", b"\x01\x01\xff\xff")  # +1 and -1, of a signed octet
_TOO_MANY = b"\x01" * (MAX_DEPTH + 1)
_NO_BRACKETS = bytes(octet for octet in range(256) if octet not in b"[]{}")


class NotStrictJSON(ValueError):
    """The text is not JSON that we accept."""


def read_json_object(text: bytes) -> dict[str, Any]:
    """Return the object that ``text`` (UTF-8) holds.

    Raises:
        NotStrictJSON: on anything else, with a reason that quotes nothing of the text.
    """
    parsed = read_json(text)
    if not isinstance(parsed, dict):
        raise NotStrictJSON("not an object")
    return parsed


def read_json(text: bytes) -> Any:
    """Return the value that ``text`` (UTF-8) holds.

    Raises:
        NotStrictJSON: there is none, with a reason that quotes nothing of the text.
    """
    if _is_too_deep(text):
        raise NotStrictJSON(f"nested deeper than {MAX_DEPTH}")
    try:
        return _DECODER.decode(text.decode("utf-8"))
    except NotStrictJSON:
        raise
    except UnicodeDecodeError:
        raise NotStrictJSON("not UTF-8") from None
    except ValueError:
        # The decoder's message quotes the document; int() refuses beyond 4,300 digits likewise.
        raise NotStrictJSON("not JSON") from None


def _is_too_deep(text: bytes) -> bool:
    """Say whether the brackets nest too deep; whether they pair, the decoder sees.

    No loop of ours over the octets: strangers choose them, and would pay less for sending than we
    for reading. Where more brackets close than have opened, the decoder has stopped before.
    """
    if text.count(b"{") + text.count(b"[") <= MAX_DEPTH:
        return False
    steps = _STRING.sub(b"", text).translate(_STEPS, _NO_BRACKETS)
    if _TOO_MANY in steps:  # what is truly deep is cheap
        return True
    return max(accumulate(array("b", steps)), default=0) > MAX_DEPTH


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise NotStrictJSON("a duplicate member")
    return members


def _no_constant(_: str) -> NoReturn:
    raise NotStrictJSON("NaN or Infinity")


_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_constant)
