"""The table of the admin API: which request is which operation, and what it reads and answers."""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from aiohttp import web
from pydantic import BaseModel

from sidecar.admin.answers import Refused
from sidecar.admin.schemas import NoQuery

_PARAMETER = re.compile(r"\{([a-z]+)\}")


@dataclass(frozen=True, slots=True)
class Call:
    """One request: who asks (as the audit record names them), and what was read of it.

    ``query`` and ``body`` are of the operation's models.
    """

    request: web.BaseRequest
    actor: str
    path: Mapping[str, str]
    query: Any
    body: Any


Handler = Callable[[Call], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Operation:
    """One row. ``answers`` are the types of what is answered, by status; None for no content.

    ``refusals`` are the statuses of its own refusals; ``events`` is what an event stream tells.
    """

    name: str
    method: str
    path: str
    summary: str
    handler: Handler
    answers: Mapping[int, Any]
    refusals: frozenset[int] = frozenset()
    query: type[BaseModel] = NoQuery
    body: type[BaseModel] | None = None
    events: Any = None
    is_open: bool = False
    expression: re.Pattern[str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        pattern = "".join(
            f"(?P<{part}>[^/]+)" if index % 2 else re.escape(part)
            for index, part in enumerate(_PARAMETER.split(self.path))
        )
        object.__setattr__(self, "expression", re.compile(pattern))

    @property
    def parameters(self) -> Sequence[str]:
        """Return the names in its path."""
        return _PARAMETER.findall(self.path)


class Operations:
    """All of them."""

    def __init__(self, rows: Sequence[Operation]) -> None:
        self.rows = tuple(rows)

    def find(self, method: str, raw_path: str) -> tuple[Operation, Mapping[str, str]]:
        """Return the operation, and what its path names, percent-encoding resolved.

        The path is matched as it came: a subject may have a slash, and hides it as ``%2F``.

        Raises:
            Refused: 404, or 405 with what may be done instead.
        """
        found = {
            row.method: (row, match)
            for row in self.rows
            if (match := row.expression.fullmatch(raw_path)) is not None
        }
        if not found:
            raise Refused(404, "resource not found")
        wanted = found.get("GET" if method == "HEAD" else method)
        if wanted is None:
            allowed = sorted({*found, "HEAD"} if "GET" in found else found)
            raise Refused(405, "method not allowed", {"Allow": ", ".join(allowed)})
        row, match = wanted
        return row, {name: unquote(text) for name, text in match.groupdict().items()}
