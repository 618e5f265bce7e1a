"""An identity provider that says what it is told to, on loopback."""

import asyncio
import ssl
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

OPENID = "/.well-known/openid-configuration"
OAUTH = "/.well-known/oauth-authorization-server"


@dataclass
class Provider:
    """``documents`` are what is answered by path; what is no mapping is sent as it is.

    ``issuer`` is where it is, ``asked`` the paths that were asked for.
    """

    documents: dict[str, Any] = field(default_factory=dict)
    issuer: str = ""
    asked: list[str] = field(default_factory=list)

    def tell(self, place: str = OPENID, path: str = "", **members: Any) -> None:
        """Answer with a good discovery document, but for these members."""
        told = {"issuer": self.issuer + path, "jwks_uri": f"{self.issuer}/keys", **members}
        self.documents[place] = {name: value for name, value in told.items() if value is not None}

    def publish(self, *keys: Any) -> None:
        """Answer with a key set."""
        self.documents["/keys"] = {"keys": list(keys)}

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request.path)
        document = self.documents.get(request.path)
        if isinstance(document, web.HTTPException):
            raise document
        if isinstance(document, bytes):
            return web.Response(body=document)
        return web.json_response(document) if document is not None else web.Response(status=404)


@asynccontextmanager
async def running_provider(tls: ssl.SSLContext | None = None) -> AsyncIterator[Provider]:
    """Run it; with ``tls`` it is known as localhost."""
    provider = Provider()
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", provider.answer)
    runner = web.AppRunner(application)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
        host, port = runner.addresses[0][:2]
        provider.issuer = f"http://{host}:{port}" if tls is None else f"https://localhost:{port}"
        yield provider
    finally:
        await runner.cleanup()


@contextmanager
def provider_in_a_thread() -> Iterator[Provider]:
    """Run it in an event loop of its own, for commands that start loops of theirs."""
    started, stop = threading.Event(), asyncio.Event()
    loop = asyncio.new_event_loop()
    found: list[Provider] = []

    async def serve() -> None:
        async with running_provider() as provider:
            found.append(provider)
            started.set()
            await stop.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    try:
        assert started.wait(20)
        yield found[0]
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()
