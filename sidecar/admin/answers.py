"""What the admin listener answers with: JSON, never cached, or the refusal of a request."""

import json
from collections.abc import Mapping

from aiohttp import web

COMMON = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Server": "sidecar"}


class Refused(Exception):
    """The request is refused. ``message`` is for the client, and so are the headers."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(status, message)
        self.status = status
        self.message = message
        self.headers = headers or {}


def answer(status: int, body: object, headers: Mapping[str, str] | None = None) -> web.Response:
    """Return an answer with this JSON. ASCII only: nothing in it is more than text to anybody."""
    return web.Response(
        status=status,
        text=json.dumps(body, allow_nan=False),
        content_type="application/json",
        headers={**COMMON, **(headers or {})},
    )
