"""Introspection: an introspector whose answers the test gives, and a server that speaks HTTP."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from sidecar.core.bearer import BearerToken
from sidecar.introspection import AnsweredFrom, IntrospectionOutcome, IntrospectionUnavailable


class FakeIntrospector:
    """Implements ``introspection.Introspector``: a token that is not in ``active`` is inactive."""

    def __init__(self) -> None:
        self.active: dict[str, Mapping[str, Any]] = {}
        self.asked: list[tuple[str, str]] = []
        self.is_down = False
        self.held: asyncio.Event | None = None

    async def introspect(self, issuer: str, bearer: BearerToken) -> Mapping[str, Any] | None:
        self.asked.append((issuer, bearer))
        if self.held is not None:
            await self.held.wait()
        if self.is_down:
            raise IntrospectionUnavailable("down")
        return self.active.get(bearer)


class RecordingIntrospections:
    """Implements ``introspection.IntrospectionObserver``."""

    def __init__(self) -> None:
        self.outcomes: list[IntrospectionOutcome] = []
        self.sources: list[AnsweredFrom] = []

    def introspected(self, issuer: str, outcome: IntrospectionOutcome, seconds: float) -> None:
        del issuer, seconds
        self.outcomes.append(outcome)

    def introspection_answered(self, issuer: str, source: AnsweredFrom) -> None:
        del issuer
        self.sources.append(source)


@dataclass
class IntrospectionServer:
    """An authorization server's endpoint. ``active`` are its answers by token.

    ``forms`` and ``headers`` are what it was asked with. While ``held`` is set it does not answer
    until that is released. ``issuer`` is its address, under which its metadata are.
    """

    issuer: str = ""
    active: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    active_by_default: Mapping[str, Any] | None = None
    forms: list[dict[str, str]] = field(default_factory=list)
    headers: list[Mapping[str, str]] = field(default_factory=list)
    certificates: list[Any] = field(default_factory=list)
    held: asyncio.Event | None = None
    status: int = 200
    more_metadata: dict[str, Any] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"{self.issuer}/introspect"

    async def answer(self, request: web.Request) -> web.Response:
        form = await request.post()
        self.forms.append({name: str(value) for name, value in form.items()})
        self.headers.append(request.headers)
        transport = request.transport
        self.certificates.append(transport and transport.get_extra_info("peercert"))
        if self.held is not None:
            await self.held.wait()
        members = self.active.get(str(form["token"]), self.active_by_default)
        body = {"active": False} if members is None else {"active": True, **members}
        return web.json_response(body, status=self.status)

    async def describe(self, _: web.Request) -> web.Response:
        metadata = {"issuer": self.issuer, "introspection_endpoint": self.url, "jwks_uri": "none"}
        return web.json_response({**metadata, **self.more_metadata})


@asynccontextmanager
async def introspection_server(
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[IntrospectionServer]:
    """Run one on loopback until the block ends."""
    server = IntrospectionServer()
    app = web.Application()
    app.router.add_post("/introspect", server.answer)
    app.router.add_get("/.well-known/openid-configuration", server.describe)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    try:
        port = runner.addresses[0][1]
        server.issuer = f"http://127.0.0.1:{port}" if tls is None else f"https://localhost:{port}"
        yield server
    finally:
        await runner.cleanup()
