"""Reading the access request out of a request."""

import secrets
from itertools import count

from sidecar.core.decision import Denied, Deny
from sidecar.core.request import AccessRequest, check_method, read_target
from sidecar.fronts.prepared_head import PreparedHead

_LONGEST_LOGGED = 256

# Unique, which is all that an id has to be: one process's differ in their end, those of several in
# their beginning.
_PROCESS = secrets.token_hex(4)
_numbers = count()


def make_request_id() -> str:
    """Return a new request id: 16 hexadecimal digits."""
    return f"{_PROCESS}{next(_numbers) & 0xFFFFFFFF:08x}"


def read_access_request(
    method: str, target: str, prepared: PreparedHead, host: str | None = None
) -> tuple[AccessRequest, Deny | None]:
    """Return what is asked, and why it is refused whatever it asks (or None).

    ``host`` is the one that was asked, where ``Host`` is not about that.
    """
    problem = prepared.problem
    path = query = ""
    try:
        path, query = read_method_and_target(method, target)
    except Denied as denied:
        problem = Deny(denied.reason, denied.detail)
    if problem is not None:
        path = target.partition("?")[0][:_LONGEST_LOGGED]
        query = ""
    return (
        AccessRequest(
            method, prepared.head.host if host is None else host, path, query,
            prepared.authorization, prepared.client, make_request_id(), prepared.memory,
            shown=prepared.shown,
        ),
        problem,
    )  # fmt: skip


def read_method_and_target(method: str, target: str) -> tuple[str, str]:
    """Return raw path and raw query, as ``read_target`` does.

    Raises:
        Denied: MALFORMED_REQUEST, or METHOD_REFUSED for a method that has no such target.
    """
    try:
        return read_target(target, method)
    except Denied:
        check_method(method)  # CONNECT has no path, but is refused as the method that it is
        raise
