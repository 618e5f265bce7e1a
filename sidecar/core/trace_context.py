"""W3C Trace Context, level 1 (https://www.w3.org/TR/trace-context-1/): read strictly, and bounded.

What cannot be read counts as absent, and never refuses a request: a new trace begins there.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

# 3.2.2: lower-case hexadecimal alone. Versions to come may add fields behind a hyphen.
_TRACEPARENT = re.compile(
    r"(?P<version>[0-9a-f]{2})-(?P<trace>[0-9a-f]{32})-(?P<parent>[0-9a-f]{16})"
    r"-(?P<flags>[0-9a-f]{2})(?P<more>-[\x21-\x7e]*)?"
)
_LONGEST_TRACEPARENT = 256
_SAMPLED = 1
_NO_TRACE, _NO_SPAN = "0" * 32, "0" * 16

# 3.3.1.3: a key, perhaps with its system's name, and a value that does not end with a blank.
_MEMBER = re.compile(
    r"(?P<key>[a-z][a-z0-9_*/-]{0,255}|[a-z0-9][a-z0-9_*/-]{0,240}@[a-z][a-z0-9_*/-]{0,13})"
    r"=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]"
)
_MOST_MEMBERS = 32
_LONGEST_READ = 32 * 1024
_LONGEST_SENT = 512
_LONG_MEMBER = 128


class TraceParent(NamedTuple):
    """One span of a trace, as it is told to whom it calls. The ids are lower-case hexadecimal."""

    trace_id: str
    span_id: str
    is_sampled: bool

    @property
    def value(self) -> str:
        """The ``traceparent`` that tells of it, in version 00."""
        return f"00-{self.trace_id}-{self.span_id}-{'01' if self.is_sampled else '00'}"


def read_traceparent(values: Sequence[str]) -> TraceParent | None:
    """Return what the ``traceparent`` fields tell, or None where it is not exactly one good one.

    Of a version to come the parts that are known count (3.2.2 and 4.3); ``ff`` is none.
    """
    if len(values) != 1 or len(values[0]) > _LONGEST_TRACEPARENT:
        return None
    found = _TRACEPARENT.fullmatch(values[0])
    if found is None:
        return None
    version, trace, parent, flags, more = found.groups()
    if version == "ff" or (version == "00" and more is not None):
        return None
    if trace == _NO_TRACE or parent == _NO_SPAN:
        return None
    return TraceParent(trace, parent, bool(int(flags, 16) & _SAMPLED))


def read_tracestate(values: Sequence[str]) -> str:
    """Return the ``tracestate`` fields as one to send on; empty where they are not as they should.

    Of a long one whole members are left out until it has 512 octets: long ones first, then from the
    end (3.3.1.5). There are at most 32 of them, none twice (3.3.1.1 and 3.3.1.3.1).
    """
    if not values or sum(map(len, values)) > _LONGEST_READ:
        return ""
    members = [word.strip(" \t") for value in values for word in value.split(",")]
    members = [member for member in members if member]
    if len(members) > _MOST_MEMBERS:
        return ""
    keys = set()
    for member in members:
        found = _MEMBER.fullmatch(member)
        if found is None or found["key"] in keys:
            return ""
        keys.add(found["key"])
    return ",".join(_shortened(members))


def _shortened(members: list[str]) -> list[str]:
    if _length(members) > _LONGEST_SENT:
        members = [member for member in members if len(member) <= _LONG_MEMBER]
    while _length(members) > _LONGEST_SENT:
        members.pop()
    return members


def _length(members: list[str]) -> int:
    return sum(map(len, members)) + len(members) - 1
