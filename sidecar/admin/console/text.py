"""How things are written on a page: names that may be anything, moments, lengths of time.

A name in the account store is whatever somebody wrote there. Escaping for HTML is the template's;
here it is made one line that no control character turns around, hides or grows without end.
"""

import re
from datetime import UTC, datetime
from math import isfinite

_LONGEST = 120
_STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z")
_MINUTE, _HOUR, _DAY = 60.0, 3600.0, 86400.0


def plain(text: object, longest: int = _LONGEST) -> str:
    """Return the text as one line: what cannot be printed as an escape, what is too long cut."""
    whole = str(text)
    shown = "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode()
        for each in whole[:longest]
    )
    rest = len(whole) - longest
    return f"{shown}… ({rest:,} more)" if rest > 0 else shown


def moment(at: float | None) -> str:
    """Return epoch seconds as a date and time in UTC; words for what is none."""
    found = _read(at)
    if found is None:
        return "for ever" if at is None or at > 0 else "never"
    return f"{found:%Y-%m-%d %H:%M:%S} UTC"


def machine_moment(at: float | None) -> str:
    """Return epoch seconds as HTML's ``datetime`` has them; empty for what is none."""
    found = _read(at)
    return "" if found is None else f"{found:%Y-%m-%dT%H:%M:%SZ}"


def stamp(text: object) -> str:
    """Return an audit record's moment (RFC 3339) as ``moment`` writes one, if it is one."""
    if not isinstance(text, str) or not _STAMP.fullmatch(text):
        return plain(text, 40)
    return f"{text[:10]} {text[11:19]} UTC"


def duration(seconds: float) -> str:
    """Return a length of time in its largest unit."""
    seconds = max(0.0, seconds)
    if not isfinite(seconds):
        return "for ever"
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    for limit, unit, name in (
        (_MINUTE, 1.0, "s"),
        (_HOUR, _MINUTE, "min"),
        (2 * _DAY, _HOUR, "h"),
    ):
        if seconds < limit:
            return f"{seconds / unit:.0f} {name}"
    return f"{seconds / _DAY:,.0f} days"


def ago(seconds: float) -> str:
    """Return in words how long ago something was."""
    return "just now" if seconds < 1 else f"{duration(seconds)} ago"


def rate(per_second: float) -> str:
    """Return a rate with as many digits as it deserves."""
    if per_second <= 0:
        return "0"
    if per_second < 0.1:
        return "<0.1"
    return f"{per_second:.1f}" if per_second < 10 else f"{per_second:,.0f}"


def number(count: float) -> str:
    """Return a count with its thousands apart."""
    return f"{count:,.0f}"


def _read(at: float | None) -> datetime | None:
    if at is None or not isfinite(at) or at <= 0:
        return None
    try:
        return datetime.fromtimestamp(at, UTC)
    except (OverflowError, OSError, ValueError):
        return None
