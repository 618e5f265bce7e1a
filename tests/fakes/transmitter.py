"""A transmitter of security events: its metadata and keys on loopback, and what it pushes."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
from aiohttp import web

from tests.fakes.events import signed
from tests.fakes.tokens import rsa_key

MEDIA_TYPE = "application/secevent+jwt"


@dataclass
class FakeTransmitter:
    """``issuer`` is its address. ``push`` returns the answer's status and body."""

    issuer: str = ""

    async def describe(self, _: web.Request) -> web.Response:
        return web.json_response({"issuer": self.issuer, "jwks_uri": self.issuer + "/keys"})

    async def publish(self, _: web.Request) -> web.Response:
        key = rsa_key()
        public: dict[str, Any] = dict(key.public.as_dict(private=False))
        return web.json_response({"keys": [{**public, "kid": key.kid, "alg": key.algorithm}]})

    async def push(self, url: str, secret: str, claims: Mapping[str, Any]) -> tuple[int, bytes]:
        headers = {"Authorization": f"Bearer {secret}", "Content-Type": MEDIA_TYPE}
        async with (
            aiohttp.ClientSession() as http,
            http.post(url, data=signed({**claims, "iss": self.issuer}), headers=headers) as answer,
        ):
            return answer.status, await answer.read()


@asynccontextmanager
async def fake_transmitter() -> AsyncIterator[FakeTransmitter]:
    """Run one on loopback until the block ends."""
    transmitter = FakeTransmitter()
    app = web.Application()
    app.router.add_get("/.well-known/ssf-configuration", transmitter.describe)
    app.router.add_get("/keys", transmitter.publish)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        transmitter.issuer = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield transmitter
    finally:
        await runner.cleanup()
