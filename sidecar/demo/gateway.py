"""A small stand-in for the Hoop gateway, on loopback, for the demo and the tests.

It carries what a service account meets there: who am I, the service accounts' own endpoints, an
event stream, WebSockets. Statuses, bodies and headers are the original's. It authenticates each
request by itself, as the original does, so it shows what a sidecar must forward and must not.
"""

import hmac
import json
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from aiohttp import web

from sidecar.demo.gateway_accounts import GatewayAccount, Refused, read_account
from sidecar.demo.gateway_streams import Streams
from sidecar.demo.gateway_tokens import (
    ProviderUnreachable,
    Verifier,
    identity_provider_verifier,
)
from sidecar.demo.loopback import Loopback

__all__ = ["Gateway", "GatewayAccount", "RecordedRequest", "identity_provider_verifier"]

_MAX_RECORDED = 1000
_HEADERS = {
    "Server": "hoopgateway/demo",
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "GET, POST, PUT, PATCH, DELETE, HEAD, OPTIONS",
    "Access-Control-Allow-Headers": "*",
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
}
# Whoever has the api key is this administrator, whatever else the request carries.
_API_KEY_ADMIN = GatewayAccount("api-key", "API Key", ("admin",))

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_Served = Callable[[web.Request, GatewayAccount], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class RecordedRequest:
    """One request as it arrived, before anything was made of it."""

    method: str
    raw_path: str
    raw_headers: tuple[tuple[bytes, bytes], ...]

    @property
    def headers(self) -> list[tuple[str, str]]:
        """The header lines in their order, each byte a character."""
        return [
            (name.decode("latin-1"), value.decode("latin-1")) for name, value in self.raw_headers
        ]

    def values(self, name: str) -> list[str]:
        """Return the values of all lines of the header ``name``, in their order."""
        return [value for given, value in self.headers if given.lower() == name.lower()]


class Gateway:
    """Runs between ``async with`` and its end; entered again, it is at the same address.

    Attributes:
        accounts: the service accounts by subject; may be changed at any time.
        requests: the last 1000 requests that arrived; may be cleared.
        healthy: what ``/api/healthz`` says.
    """

    def __init__(
        self,
        verifier: Verifier,
        accounts: Iterable[GatewayAccount] = (),
        *,
        port: int = 0,
        api_key: str | None = None,
        tick_seconds: float = 0.5,
    ) -> None:
        """Make a gateway.

        Args:
            verifier: returns a token's subject, or None.
            accounts: the service accounts to begin with.
            port: where to listen on 127.0.0.1; 0 lets the system choose.
            api_key: what the header ``Api-Key`` has to be; None: no such key is configured.
            tick_seconds: the time between two events of a stream.
        """
        self.accounts = {account.subject: account for account in accounts}
        self.requests: list[RecordedRequest] = []
        self.healthy = True
        self._verifier = verifier
        self._api_key = api_key
        self._loopback = Loopback(port)
        self._streams = Streams(self._loopback, tick_seconds)

    async def __aenter__(self) -> Self:
        application = web.Application(middlewares=[self._receive])
        application.on_response_prepare.append(_put_headers)
        router = application.router
        router.add_get("/api/healthz", self._healthz)
        router.add_get("/api/userinfo", self._for_accounts(_userinfo))
        router.add_get("/api/serviceaccounts", self._for_accounts(self._list))
        router.add_post("/api/serviceaccounts", self._for_admins(self._create))
        router.add_put("/api/serviceaccounts/{subject}", self._for_admins(self._update))
        router.add_get("/api/sessions/{id}/stream", self._for_accounts(self._events))
        router.add_get("/api/ws", self._agent)
        router.add_get("/api/demo/ws", self._for_accounts(self._demo))
        await self._loopback.start(application)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        problem: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._loopback.stop()

    @property
    def url(self) -> str:
        """Where it is, without a final slash. Known once the server was started."""
        return self._loopback.url

    @property
    def open_streams(self) -> int:
        """How many event streams and WebSockets are open now."""
        return self._streams.open

    @web.middleware
    async def _receive(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        self.requests.append(
            RecordedRequest(request.method, request.raw_path, tuple(request.raw_headers))
        )
        del self.requests[:-_MAX_RECORDED]
        if request.method == "OPTIONS":
            return web.Response(status=204)  # a preflight has no token to show
        try:
            return await handler(request)
        except Refused as refused:
            return _answer({"message": refused.message}, refused.status)

    def _for_accounts(self, serve: _Served) -> _Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            return await serve(request, await self._identify(request))

        return handle

    def _for_admins(self, serve: _Served) -> _Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            account = await self._identify(request)
            if account.role != "admin":
                raise Refused(403, "access denied")
            return await serve(request, account)

        return handle

    async def _identify(self, request: web.Request) -> GatewayAccount:
        api_key = request.headers.get("Api-Key")
        if api_key:
            # Before, and instead of, the bearer: this is why the sidecar must not forward it.
            return self._identify_api_key(api_key)
        # The first line counts, and nothing but `Bearer`, one space and the token.
        parts = request.headers.get("Authorization", "").split(" ")
        if len(parts) != 2 or parts[0] != "Bearer":
            raise Refused(401, "access denied")
        try:
            subject = await self._verifier(parts[1])
        except ProviderUnreachable:
            message = "internal server error, failed loading IDP provider"
            raise Refused(500, message) from None
        account = None if subject is None else self.accounts.get(subject)
        if account is None or not account.is_active:
            raise Refused(401, "access denied")
        return account

    def _identify_api_key(self, api_key: str) -> GatewayAccount:
        if self._api_key is None:
            raise Refused(401, "access denied")
        given = api_key.encode("utf-8", "surrogateescape")
        if not hmac.compare_digest(given, self._api_key.encode()):
            raise Refused(401, "unauthorize")
        return _API_KEY_ADMIN

    async def _healthz(self, _: web.Request) -> web.Response:
        return _answer({"liveness": "OK"}) if self.healthy else _answer({"liveness": "ERR"}, 400)

    async def _list(self, _: web.Request, __: GatewayAccount) -> web.Response:
        accounts = [account.read() for account in self.accounts.values()]
        return _answer(accounts or None)  # Go writes an empty list that nobody made as null

    async def _create(self, request: web.Request, _: GatewayAccount) -> web.Response:
        account = read_account(await request.read())
        if account.subject in self.accounts:
            raise Refused(409, "resource already exists")
        self.accounts[account.subject] = account
        return _answer(account.read(), 201)

    async def _update(self, request: web.Request, _: GatewayAccount) -> web.Response:
        posted = read_account(await request.read())
        subject = request.match_info["subject"]
        if "/" in subject:
            # The original routes on the decoded path: such an account can be made, never changed.
            raise web.HTTPNotFound
        stored = self.accounts.get(subject)
        if stored is None:
            raise Refused(404, "resource not found")
        stored.name = posted.name or stored.name
        stored.status = posted.status
        stored.groups = posted.groups
        # The original echoes the subject that was put, though it never changes the stored one.
        return _answer(stored.read() | {"subject": posted.subject})

    async def _events(self, request: web.Request, _: GatewayAccount) -> web.StreamResponse:
        return await self._streams.events(request)

    async def _agent(self, request: web.Request) -> web.StreamResponse:
        """Echo to an agent. No agent is registered here, so whichever ``HOOP_KEY`` will do."""
        if not request.headers.get("HOOP_KEY"):
            return _answer({"error": "access denied"}, 401)
        return await self._streams.talk(request, ticks=False)

    async def _demo(self, request: web.Request, _: GatewayAccount) -> web.StreamResponse:
        """Echo, and count aloud.

        The path is the demo's own: the original has no WebSocket that takes a bearer token.
        """
        return await self._streams.talk(request, ticks=True)


async def _userinfo(_: web.Request, account: GatewayAccount) -> web.Response:
    return _answer(account.userinfo())


async def _put_headers(_: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(_HEADERS)


def _answer(content: object, status: int = 200) -> web.Response:
    return web.json_response(content, status=status, dumps=_dumps)


def _dumps(content: object) -> str:
    return json.dumps(content, separators=(",", ":"))
