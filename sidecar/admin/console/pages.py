"""Pages and their parts from templates, and the few files that they load. Nothing comes from afar.

All is read at the start: what is answered later waits for no disk.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any

from aiohttp import web
from jinja2 import Environment, PackageLoader, StrictUndefined

from sidecar.admin.answers import COMMON, Refused
from sidecar.admin.console import text

# The address of the page that somebody came from is for nobody else; browsers name the origin of a
# form to its own site only where they may do that much (Fetch, "append a request Origin header").
SAFE: Mapping[str, str] = MappingProxyType(
    {
        **COMMON,
        "Content-Security-Policy": (
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
            "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
        ),
        "Referrer-Policy": "same-origin",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
    }
)
_TYPES = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
_FOR_EVER = "public, max-age=31536000, immutable"
_PACKAGE = "sidecar.admin.console"


class Pages:
    """Renders templates of this package, and gives the files that they load."""

    def __init__(self) -> None:
        self._templates = _read_templates()
        self._static = _read_static()

    def page(self, name: str, status: int = 200, **values: Any) -> web.Response:
        """Return a whole page."""
        return web.Response(
            status=status,
            text=self.part(name, **values),
            content_type="text/html",
            charset="utf-8",
            headers=SAFE,
        )

    def part(self, name: str, **values: Any) -> str:
        """Return the HTML of a template."""
        return self._templates.get_template(f"{name}.html").render(values)

    def static(self, name: str, version: str) -> web.Response:
        """Return a file that pages load. Raises Refused: 404."""
        file = self._static.get(name)
        if file is None:
            raise Refused(404, "there is no such file")
        kept = {"Cache-Control": _FOR_EVER} if version == file.version else {}
        return web.Response(
            body=file.content,
            content_type=_TYPES[name.rpartition(".")[2]],
            charset="utf-8",
            headers={**SAFE, **kept},
        )


def redirect(where: str) -> web.Response:
    """Return what sends the browser there, by GET (RFC 9110, 15.4.4)."""
    return web.Response(status=303, headers={**SAFE, "Location": where})


@dataclass(frozen=True, slots=True)
class _File:
    content: bytes

    @property
    def version(self) -> str:
        return hashlib.sha256(self.content).hexdigest()[:16]


@cache
def _read_static() -> Mapping[str, _File]:
    return {
        each.name: _File(each.read_bytes())
        for each in files(_PACKAGE).joinpath("static").iterdir()
        if each.name.rpartition(".")[2] in _TYPES
    }


@cache
def _read_templates() -> Environment:
    """Compile them once: they are the same for everybody, also after a reload."""
    templates = Environment(
        loader=PackageLoader(_PACKAGE),
        autoescape=True,
        undefined=StrictUndefined,
        auto_reload=False,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters |= {
        each.__name__: each
        for each in (
            text.plain,
            text.moment,
            text.machine_moment,
            text.duration,
            text.ago,
            text.rate,
            text.number,
            text.stamp,
        )
    }
    addresses = {
        name: f"/console/static/{name}?v={file.version}" for name, file in _read_static().items()
    }
    # Named by its content a file may be kept for ever.
    templates.globals["file"] = addresses.__getitem__
    for name in templates.list_templates():
        templates.get_template(name)
    return templates
