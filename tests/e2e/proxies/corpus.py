"""The attack corpus as octets, and what of it may be heard behind a proxy."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from tests.attacks.tables import REQUESTS

# As the corpus means them: see tests/fakes/world.py.
ROUTES: list[dict[str, Any]] = [
    {"name": "health", "path": "/health", "methods": ["GET"], "bearer": False},
    {"name": "public", "path": "/public/**", "bearer": False},
    {"name": "read", "path": "/reports", "methods": ["GET"]},
    {"name": "write", "path": "/reports", "methods": ["POST"], "scopes": ["reports.write"]},
    {"name": "admin", "path": "/admin/**", "groups": ["devops"]},
    {"name": "people", "path": "/people/**", "unregistered": "forward"},
    {"name": "watch", "path": "/watch", "methods": ["GET"], "websocket": True},
]
# A proxy reads host and path out of the one, and the path is an open route's; the other asks about
# the proxy itself (RFC 9110, 9.3.7), which some answer.
_OF_THE_PROXY = {"P10 absolute-form", "P10 asterisk"}
# White space around a header's value is no part of it (RFC 9110, 5.5).
_TRIMMED = {"J22 space before", "J22 space after"}


@dataclass(frozen=True)
class Attack:
    """One request; ``passes`` says whether it is none after all."""

    name: str
    octets: bytes
    passes: bool


def attacks(token: str) -> Iterator[Attack]:
    """Return each row of the corpus twice: without a token, and with the best of tokens."""
    for row in REQUESTS:
        name = row["name"]
        if name in _OF_THE_PROXY:
            continue
        target = row["path"] + ("?" + row["query"] if row.get("query") else "")
        lines = [f"{row.get('method', 'GET')} {target} HTTP/1.1", "Host: sidecar.example"]
        yield Attack(name, _octets(lines), row.get("open", False))
        credentials = row.get("authorization", ["Bearer {token}"])
        lines += ["Authorization: " + each.replace("{token}", token) for each in credentials]
        yield Attack(name, _octets(lines), row["expected"] == "granted" or name in _TRIMMED)


def is_open(target: str) -> bool:
    """Say whether this is an open route's path, however often and in whatever way it is read.

    A proxy may spell a target anew (Caddy encodes octets), but then for both.
    """
    path = unquote(unquote(target.partition("?")[0])).replace("\\", "/")
    is_plain = "//" not in path and ";" not in path and ".." not in path.split("/")
    return is_plain and (path == "/health" or path.startswith("/public/"))


def _octets(lines: list[str]) -> bytes:
    return "\r\n".join([*lines, "Connection: close", "", ""]).encode("utf-8")
