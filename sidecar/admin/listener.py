"""The listener for operators: alive, ready, what it does, revocation, the API and the console.

Its own port, on loopback.

Liveness says only that the loop turns: a restart would not bring back Redis or a provider, but end
every open stream. Readiness says whether a request could be granted now.
"""

import ssl
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aiohttp import web
from typing_extensions import override

from sidecar.admin.answers import COMMON, answer
from sidecar.admin.small_listener import SmallListener

Probes = Callable[[], Mapping[str, bool]]
Render = Callable[[str], tuple[bytes, str]]
Revoke = Callable[[web.BaseRequest], Awaitable[web.Response]]
Api = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
Published = Callable[[], Mapping[str, Any]]

_METHODS = ("GET", "HEAD")
_REVOKE = "/oauth2/revoke"
_API = "/api/"
_CONSOLE = "/console/"
_KEYS = "/.well-known/jwks.json"


class AdminListener(SmallListener):
    """Answers operators.

    ``probes`` are what readiness is made of, by name; ``render`` returns the metrics and their
    media type for an ``Accept`` value, ``workers`` the JSON of what each process does. ``revoke``
    answers the revocation endpoint, ``api`` the API, ``console`` its pages, and ``assertion_keys``
    are what is signed to upstream with, if there is that. ``shadow_routes`` is how many enforce
    nothing, for whoever asks whether it is ready.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        probes: Probes,
        render: Render,
        workers: Callable[[], bytes],
        revoke: Revoke | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        super().__init__(host, port, tls)
        self._probes = probes
        self._render = render
        self._workers = workers
        # A reload replaces these.
        self.shadow_routes = 0
        self.revoke = revoke
        self.api: Api | None = None
        self.console: Api | None = None
        self.assertion_keys: Published | None = None

    @override
    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        if self.api is not None and request.rel_url.raw_path.startswith(_API):
            return await self.api(request)
        if self.console is not None and _is_for_console(request.path):
            return await self.console(request)
        if request.path == _REVOKE:
            return _no_such_path() if self.revoke is None else await self.revoke(request)
        if request.method not in _METHODS:
            return answer(405, {"message": "method not allowed"}, {"Allow": "GET, HEAD"})
        return self._show(request)

    def _show(self, request: web.BaseRequest) -> web.Response:
        match request.path:
            case "/livez":
                return answer(200, {"alive": True})
            case "/readyz":
                checks = dict(self._probes())
                ready = all(checks.values())
                told: dict[str, object] = {"ready": ready, "checks": checks}
                if self.shadow_routes:
                    told["shadow_routes"] = self.shadow_routes
                return answer(200 if ready else 503, told)
            case "/metrics":
                body, content_type = self._render(request.headers.get("Accept", ""))
                return web.Response(body=body, headers={**COMMON, "Content-Type": content_type})
            case "/workers":
                return web.Response(
                    body=self._workers(), content_type="application/json", headers=COMMON
                )
            case path if path == _KEYS and self.assertion_keys is not None:
                cached = "public, max-age=300"
                return answer(200, self.assertion_keys(), {"Cache-Control": cached})
            case _:
                return _no_such_path()


def _is_for_console(path: str) -> bool:
    return path in ("/", "/console") or path.startswith(_CONSOLE)


def _no_such_path() -> web.Response:
    return answer(404, {"message": "there are /livez, /readyz, /metrics and /workers"})
