"""Requests by which the Hoop gateway's service accounts are made and changed, as they pass by.

What the gateway does with them is read from its code: a POST makes the account that its body names,
a PUT changes the one that its *path* names, whatever the body says. It routes on the decoded path.
Its JSON reader takes member names in any case and the last of several that is not null, puts U+FFFD
for what is no UTF-8, and leaves unread what follows the first value.
"""

import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from sidecar.core.strict_json import NotStrictJSON, read_json
from sidecar.core.subject import AccountStatus
from sidecar.core.wanted_accounts import NotAccounts, WantedAccount, read_wanted

_PATH = "/api/serviceaccounts"
_METHODS = frozenset({"POST", "PUT"})


@dataclass(frozen=True, slots=True)
class GatewayChange:
    """A request that makes an account (``subject`` is None: its body names it) or changes one."""

    subject: str | None


def read_change(method: str, path: str, prefix: str = "") -> GatewayChange | None:
    """Return the change that a request asks the gateway for, or None; ``path`` is the raw one.

    A subject with a slash cannot be changed by the gateway.
    """
    if method not in _METHODS:
        return None
    path = unquote(path)
    if not path.startswith(prefix + _PATH):
        return None
    rest = path[len(prefix + _PATH) :]
    if not rest:
        return GatewayChange(None) if method == "POST" else None
    subject = rest[1:]
    if method != "PUT" or rest[0] != "/" or not subject or "/" in subject:
        return None
    return GatewayChange(subject)


def shut_out_by(change: GatewayChange, body: bytes) -> str | None:
    """Return the subject that the request would shut out, or None."""
    if _read_members(body).get("status") != AccountStatus.INACTIVE:
        return None
    return subject_of(change, body)


def subject_of(change: GatewayChange, body: bytes) -> str | None:
    """Return whose account the request makes or changes, or None."""
    subject = _read_members(body).get("subject") if change.subject is None else change.subject
    return subject if isinstance(subject, str) else None


def read_outcome(change: GatewayChange, answer: bytes) -> WantedAccount:
    """Return how the gateway says that the account is now.

    Raises:
        NotAccounts: its answer says no such thing.
    """
    try:
        (account,) = read_wanted([read_json(answer)])
    except NotStrictJSON as problem:
        raise NotAccounts(str(problem)) from None
    subject = account.subject if change.subject is None else change.subject
    return WantedAccount(subject, account.name, account.groups, account.status)


def _read_members(body: bytes) -> dict[str, Any]:
    text = body.decode("utf-8", "replace").lstrip(" \t\r\n")
    try:
        members, _ = _READER.raw_decode(text)
    except (ValueError, RecursionError):
        return {}  # the gateway will not have it either
    return members if isinstance(members, dict) else {}


def _in_any_case(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    return {name.casefold(): value for name, value in pairs if value is not None}


_READER = json.JSONDecoder(object_pairs_hook=_in_any_case)
