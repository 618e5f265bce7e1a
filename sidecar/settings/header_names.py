"""Names of headers that the sidecar may set."""

import re
from typing import Annotated

from pydantic import AfterValidator

from sidecar.core.identity_headers import fold_name

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}")
# Setting one of these empty, or to somebody's name, would break the message or the decision.
_NOT_OURS = frozenset(
    {
        "authorization", "connection", "content-length", "content-type", "cookie", "expect",
        "forwarded", "host", "http2-settings", "keep-alive", "proxy-authenticate",
        "proxy-authentication-info", "proxy-authorization", "proxy-connection", "te", "trailer",
        "transfer-encoding", "upgrade",
    }
)  # fmt: skip


def is_header(name: str) -> str:
    """Return a name that a header of ours may have; raises ValueError for another."""
    folded = fold_name(name)
    if not _TOKEN.fullmatch(name):
        raise ValueError(f"{name!r} is no header name")
    if folded in _NOT_OURS or folded.startswith("x-forwarded-"):
        raise ValueError(f"{name!r} has a meaning of its own; choose another name")
    return name


HeaderName = Annotated[str, AfterValidator(is_header)]
