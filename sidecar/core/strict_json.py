"""JSON from strangers: duplicate members, NaN, byte-order marks and deep nesting are refused.

RFC 8259, 4 leaves duplicate names to the reader, so a fleet of readers disagrees; RFC 7519, 4 lets
us refuse them. The standard decoder also accepts ``NaN`` and UTF-16, and overflows its stack.
"""

import json
import re
from typing import Any, NoReturn

MAX_DEPTH = 32

# A string that does not end goes to the end of the text, else each quote in it would be tried anew.
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
_AS_SQUARE = bytes.maketrans(b"{}", b"[]")
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
        raise NotStrictJSON(f"nested deeper than {MAX_DEPTH}, or unpaired")
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
    """Say whether the brackets nest too deep, or do not pair.

    No loop over the octets: strangers choose them, and would pay less for sending than we for
    reading. Each round takes away the innermost pairs, so there are as many rounds as levels.
    """
    if text.count(b"{") + text.count(b"[") <= MAX_DEPTH:
        return False
    brackets = _STRING.sub(b"", text).translate(_AS_SQUARE, _NO_BRACKETS)
    for _ in range(MAX_DEPTH):
        shorter = brackets.replace(b"[]", b"")
        if len(shorter) == len(brackets):
            break
        brackets = shorter
    return bool(brackets)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise NotStrictJSON("a duplicate member")
    return members


def _no_constant(_: str) -> NoReturn:
    raise NotStrictJSON("NaN or Infinity")


_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_constant)
