"""The demo's site: an identity provider, Redis, a gateway and the sidecar, all on loopback."""

import secrets
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import yaml

from sidecar import app
from sidecar.adapters.clock import SystemClock
from sidecar.app import Serving
from sidecar.demo.gateway import Gateway, GatewayAccount, identity_provider_verifier
from sidecar.demo.identity_provider import IdentityProvider
from sidecar.demo.redis_server import RedisServer
from sidecar.demo.token_request import Client
from sidecar.ports import AccountStore, Clock
from sidecar.settings import load

CLIENT_ID = "api-user"
CLIENT_SECRET = "demo-secret"  # noqa: S105 - of a client that exists on loopback while the demo runs
AUDIENCE = "hoop-gateway"
NAME = "Api User Programmatic Access"
GROUPS = ("devops", "ops")


@dataclass(frozen=True, slots=True)
class Site:
    """Everything that runs.

    ``settings_file`` is what ``sidecar --config`` takes, ``admin_secret`` what opens the console.
    """

    identity_provider: IdentityProvider
    gateway: Gateway
    redis: RedisServer
    sidecar: Serving
    store: AccountStore
    http: aiohttp.ClientSession
    clock: Clock
    settings_file: Path
    admin_secret: str


@asynccontextmanager
async def running_site() -> AsyncIterator[Site]:
    """Start all of it; it ends with the block.

    Raises:
        RedisNotFound, RedisNotReady: there is no Redis-compatible server, or it does not start.
        SettingsProblems: never, unless the demo's own settings are wrong.
    """
    clients = [Client(CLIENT_ID, CLIENT_SECRET, CLIENT_ID, ())]
    with tempfile.TemporaryDirectory(prefix="sidecar-demo-") as directory:
        async with (
            IdentityProvider(clients, audiences=(AUDIENCE,), lifetime=3600) as identity_provider,
            RedisServer() as redis,
            Gateway(identity_provider_verifier(identity_provider.jwks_url)) as gateway,
            aiohttp.ClientSession() as http,
        ):
            # The gateway's own register of accounts; the sidecar's is Redis.
            gateway.accounts[CLIENT_ID] = GatewayAccount(CLIENT_ID, NAME, GROUPS)
            admin_secret = secrets.token_urlsafe(16)
            file = _write_settings(Path(directory), identity_provider, redis, gateway, admin_secret)
            settings = load(file, {})
            async with app.serving(settings) as sidecar, app.open_store(settings) as store:
                _name_ports(file, sidecar)
                yield Site(
                    identity_provider,
                    gateway,
                    redis,
                    sidecar,
                    store,
                    http,
                    SystemClock(),
                    file,
                    admin_secret,
                )


def _write_settings(
    directory: Path,
    identity_provider: IdentityProvider,
    redis: RedisServer,
    gateway: Gateway,
    admin_secret: str,
) -> Path:
    file, secret_file = directory / "sidecar.yaml", directory / "admin-secret"
    secret_file.write_text(admin_secret)
    settings = {
        "listen": {"host": "127.0.0.1", "port": 0},
        "admin": {"host": "127.0.0.1", "port": 0, "secret_file": str(secret_file)},
        "upstream": {"url": gateway.url},
        "preset": "hoop",
        "issuers": [
            {
                "issuer": identity_provider.issuer,
                "audiences": [AUDIENCE],
                "insecure_http": True,  # the demo's provider is on loopback, without TLS
            }
        ],
        "accounts": {"url": redis.url},
        "routes": [{"name": "demo-websocket", "path": "/api/demo/ws", "websocket": True}],
        "log": {"decisions": "none", "level": "warning"},
    }
    file.write_text(yaml.safe_dump(settings, sort_keys=False))
    return file


def _name_ports(file: Path, sidecar: Serving) -> None:
    """Put the ports that the system has chosen into the settings, for commands that read them."""
    settings = yaml.safe_load(file.read_text())
    for section, url in (("listen", sidecar.url), ("admin", sidecar.admin_url)):
        settings[section]["port"] = urlsplit(url).port
    file.write_text(yaml.safe_dump(settings, sort_keys=False))
