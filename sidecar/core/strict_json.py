"""JSON from strangers: duplicate members, NaN, byte-order marks and deep nesting are refused.

RFC 8259, 4 leaves duplicate names to the reader, so a fleet of readers disagrees; RFC 7519, 4 lets
us refuse them. The standard decoder also accepts ``NaN`` and UTF-16, and overflows its stack.
"""

import json
from typing import Any, NoReturn

MAX_DEPTH = 32


class NotStrictJSON(ValueError):
    """The text is not the JSON object that we accept."""


def read_json_object(text: bytes) -> dict[str, Any]:
    """Return the object that ``text`` (UTF-8) holds.

    Raises:
        NotStrictJSON: on anything else, with a reason that quotes nothing of the text.
    """
    if _is_too_deep(text):
        raise NotStrictJSON(f"nested deeper than {MAX_DEPTH}")
    try:
        parsed = _DECODER.decode(text.decode("utf-8"))
    except NotStrictJSON:
        raise
    except UnicodeDecodeError:
        raise NotStrictJSON("not UTF-8") from None
    except ValueError:
        # The decoder's message quotes the document; int() refuses beyond 4,300 digits likewise.
        raise NotStrictJSON("not JSON") from None
    if not isinstance(parsed, dict):
        raise NotStrictJSON("not an object")
    return parsed


def _is_too_deep(text: bytes) -> bool:
    if text.count(b"{") + text.count(b"[") <= MAX_DEPTH:
        return False
    depth, in_string, escaped = 0, False, False
    for octet in text:
        if escaped:
            escaped = False
        elif in_string:
            escaped = octet == 0x5C
            in_string = octet != 0x22
        elif octet == 0x22:
            in_string = True
        elif octet in b"{[":
            depth += 1
            if depth > MAX_DEPTH:
                return True
        elif octet in b"}]":
            depth -= 1
    return False


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise NotStrictJSON("a duplicate member")
    return members


def _no_constant(_: str) -> NoReturn:
    raise NotStrictJSON("NaN or Infinity")


_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_constant)
