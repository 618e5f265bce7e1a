"""A whole site: identity provider, Redis, gateway, and settings that join them."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest_asyncio

from sidecar.demo.gateway import Gateway, GatewayAccount, identity_provider_verifier
from sidecar.demo.identity_provider import Client, IdentityProvider
from sidecar.demo.redis_server import RedisServer
from tests.e2e.leaks import watching

AUDIENCE = "https://hoop.example/api"
SUBJECT = "api-user"


@dataclass
class Site:
    """All that stands around the sidecar."""

    identity_provider: IdentityProvider
    redis: RedisServer
    gateway: Gateway
    http: aiohttp.ClientSession
    directory: Path

    def settings(self, **more: Any) -> dict[str, Any]:
        return {
            "listen": {"host": "127.0.0.1", "port": 0, "drain_seconds": 0},
            "admin": {"host": "127.0.0.1", "port": 0},
            "upstream": {"url": self.gateway.url},
            "preset": "hoop",
            "issuers": [
                {
                    "issuer": self.identity_provider.issuer,
                    "audiences": [AUDIENCE],
                    "insecure_http": True,
                }
            ],
            # Longer than in production: a busy machine must not end the streams that go on.
            "accounts": {"url": self.redis.url, "max_staleness": 3.0, "read_timeout": 1.0},
            **more,
        }

    def token(self, **claims: Any) -> str:
        return self.identity_provider.issue(SUBJECT, aud=AUDIENCE, **claims)

    async def enable(self, subject: str = SUBJECT) -> None:
        """Any writer will do: this one is a plain HSET."""
        await self.redis.command(
            "HSET",
            f"sidecar:account:default:{subject}",
            *("status", "active", "groups", "devops,ops", "name", "Api User", "subject", subject),
        )

    async def disable(self, subject: str = SUBJECT) -> None:
        await self.redis.command("HSET", f"sidecar:account:default:{subject}", "status", "inactive")


@pytest_asyncio.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    clients = [Client(SUBJECT, "a secret", SUBJECT, ("read",))]
    async with (
        IdentityProvider(clients, audiences=(AUDIENCE,)) as identity_provider,
        RedisServer() as redis,
        Gateway(identity_provider_verifier(identity_provider.jwks_url)) as gateway,
        aiohttp.ClientSession(trace_configs=[watching()]) as http,
    ):
        gateway.accounts[SUBJECT] = GatewayAccount(SUBJECT, "Api User", ("devops", "ops"))
        yield Site(identity_provider, redis, gateway, http, tmp_path)
