"""The console: for each request who asks, then what, then the page.

Whoever is not signed in learns nothing but how to do so. What is posted is answered by a redirect,
so that reloading a page never does a thing twice.
"""

from collections.abc import Awaitable, Callable, Mapping
from urllib.parse import quote, urlencode

from aiohttp import web

from sidecar.admin.answers import Refused
from sidecar.admin.api import refusal_of
from sidecar.admin.console.account import AccountPage
from sidecar.admin.console.accounts import AccountsPage
from sidecar.admin.console.backing import Backing
from sidecar.admin.console.changes import ChangesPage
from sidecar.admin.console.cuts import Cuts
from sidecar.admin.console.decisions import DecisionsPage
from sidecar.admin.console.entrance import (
    Entrance,
    Visit,
    read_form,
    set_cookie,
    way_back,
)
from sidecar.admin.console.health import HealthPage
from sidecar.admin.console.history import History
from sidecar.admin.console.live import Live
from sidecar.admin.console.pages import Pages, redirect
from sidecar.admin.console.roster import Listing
from sidecar.admin.console.sessions import Session, Sessions
from sidecar.admin.gatekeeper import Gatekeeper

HOME = "/console/"
_STATIC = "/console/static/"
_SIGN_IN = "/console/sign-in"
_SIGN_OUT = "/console/sign-out"
_SAFE = ("GET", "HEAD")

Handler = Callable[[Visit], Awaitable[web.StreamResponse]]


class Console:
    """Answers requests for pages. ``run`` looks for what is plotted.

    What is live is looked at about each ``look_seconds``.
    """

    def __init__(
        self, gatekeeper: Gatekeeper, backing: Backing, *, look_seconds: float = 1.0
    ) -> None:
        self._look_seconds = look_seconds
        sessions = Sessions(backing.clock)
        self._trail = backing.trail
        self._pages = Pages()
        self._entrance = Entrance(gatekeeper, sessions)
        history = History(
            backing.figures.reading, backing.clock, sessions.is_anybody, look_seconds=look_seconds
        )
        self.run = history.run
        self._handlers = self._rooms(backing, history)

    def _rooms(self, backing: Backing, history: History) -> Mapping[tuple[str, str], Handler]:
        pages, live = self._pages, Live(self._entrance)
        listing, cuts = Listing(backing.clock), Cuts(backing.desk, backing.clock)
        seconds = self._look_seconds
        account = AccountPage(backing, pages, live, listing, cuts, look_seconds=seconds / 4)
        decisions = DecisionsPage(backing, pages, live, look_seconds=seconds)
        health = HealthPage(backing, pages, live, history, cuts, look_seconds=seconds)
        return {
            ("GET", HOME): AccountsPage(backing, pages, listing).show,
            ("GET", "/console/account"): account.show,
            ("GET", "/console/account/events"): account.events,
            ("POST", "/console/account/disable"): account.disable,
            ("POST", "/console/account/enable"): account.enable,
            ("POST", "/console/account/revoke-tokens"): account.revoke_tokens,
            ("GET", "/console/decisions"): decisions.show,
            ("GET", "/console/decisions/events"): decisions.events,
            ("GET", "/console/health"): health.show,
            ("GET", "/console/health/events"): health.events,
            ("GET", "/console/changes"): ChangesPage(backing, pages).show,
        }

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request. Raises nothing but ``CancelledError``."""
        try:
            return await self._answer(request)
        except Refused as refused:
            return self._refusal(refused)
        except Exception as problem:  # noqa: BLE001 - what is not known is logged there
            return self._refusal(refusal_of(problem))

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        path = request.path
        if path in ("/", "/console"):
            return redirect(HOME)
        if path.startswith(_STATIC) and request.method in _SAFE:
            return self._pages.static(path.removeprefix(_STATIC), request.query.get("v", ""))
        if path == _SIGN_IN:
            return await self._sign_in(request)
        if request.method in _SAFE:
            return await self._show(request)
        return await self._write(request)

    async def _write(self, request: web.BaseRequest) -> web.StreamResponse:
        self._entrance.check_origin(request)
        form = await read_form(request)
        session = await self._entrance.find(request)
        if session is None:
            return self._door(401, "You are signed out; nothing was changed.", HOME)
        self._entrance.check_form(request, session, form)
        if request.path == _SIGN_OUT:
            return self._sign_out(request)
        try:
            return await self._handler(request)(Visit(request, session, {}, form))
        finally:
            # Whoever looks at the changes next finds what was done here.
            await self._trail.settle(1.0)

    async def _show(self, request: web.BaseRequest) -> web.StreamResponse:
        is_live = request.path.endswith("/events")
        if is_live and request.method != "GET":
            raise Refused(405, "method not allowed", {"Allow": "GET"})
        session, name = await self._entrance.find(request, touch=not is_live), ""
        if session is None and not is_live:
            session, name = await self._by_certificate(request)
        if session is None:
            if is_live:
                raise Refused(401, "You are signed out.")
            return redirect(f"{_SIGN_IN}?{urlencode({'next': way_back(request.path_qs)})}")
        handler = self._handler(request)
        response = await handler(Visit(request, session, request.query, {}))
        if name and isinstance(response, web.Response):
            set_cookie(request, response, name)
        return response

    async def _by_certificate(self, request: web.BaseRequest) -> tuple[Session | None, str]:
        name = await self._entrance.let_in_by_certificate(request)
        return (None, "") if name is None else (await self._entrance.find(request, name), name)

    async def _sign_in(self, request: web.BaseRequest) -> web.Response:
        where = way_back(request.query.get("next", ""))
        if request.method in _SAFE:
            return self._door(200, "", where)
        self._entrance.check_origin(request)
        form = await read_form(request)
        try:
            name = await self._entrance.sign_in(request, form.get("credential", ""))
        except Refused as refused:
            return self._door(refused.status, _why_not(refused), where)
        response = redirect(where)
        set_cookie(request, response, name)
        return response

    def _sign_out(self, request: web.BaseRequest) -> web.Response:
        self._entrance.sign_out(request)
        response = redirect(_SIGN_IN)
        set_cookie(request, response, "")
        return response

    def _handler(self, request: web.BaseRequest) -> Handler:
        method = "GET" if request.method in _SAFE else request.method
        handler = self._handlers.get((method, request.path))
        if handler is None:
            allowed = {known for known, path in self._handlers if path == request.path}
            if allowed:
                raise Refused(405, "method not allowed", {"Allow": ", ".join(sorted(allowed))})
            raise Refused(404, "There is no such page.")
        return handler

    def _door(self, status: int, words: str, where: str) -> web.Response:
        action = f"{_SIGN_IN}?next={quote(where, safe='')}"
        return self._pages.page("sign_in", status, session=None, words=words, action=action)

    def _refusal(self, refused: Refused) -> web.Response:
        response = self._pages.page(
            "refusal", refused.status, session=None, code=refused.status, words=refused.message
        )
        response.headers.update(refused.headers)
        return response


def _why_not(refused: Refused) -> str:
    match refused.status:
        case 401:
            return "That does not open the console."
        case 403:
            return "This account may not use the console."
        case 429:
            seconds = refused.headers.get("Retry-After", "some")
            return f"Too many attempts. Try again in {seconds} seconds."
        case _:
            return "It cannot be checked now. Try again."
