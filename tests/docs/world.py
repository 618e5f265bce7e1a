"""What the documents' commands meet: a provider, Redis, a gateway, and a sidecar at its own ports.

The commands stand in the documents as an operator has them, with the usual addresses. Where they
lead is said beside them: variables outweigh the settings, and curl connects to where the sidecar
of this test is.
"""

import os
import secrets
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from shutil import copytree

import yaml

from sidecar.demo.gateway import Gateway, GatewayAccount, identity_provider_verifier
from sidecar.demo.identity_provider import Client, IdentityProvider
from sidecar.demo.redis_server import RedisServer
from tests.docs.markdown import ROOT

AUDIENCE = "https://hoop.example.com/api"
SUBJECT, ADMIN, SECRET = "api-user", "ops-admin", "the secret of the documents"
PROGRAMS = Path(__file__).parent / "programs"
CLIENT = Path(__file__).parent / "warm_client.py"
NAME = "Api User Programmatic Access"
# What is written is heard within milliseconds, and a reader does not type faster. On a machine that
# is busy with other tests the next command might be.
_COMMAND = """#!/bin/sh
case "$1" in
account | token | realm | store) {client} "$@" && sleep 0.1 ;;
*) exec {client} "$@" ;;
esac
"""
# Where the sidecar of a page listens in place of the usual ports, which this machine may use.
PORTS = {8080: 18080, 9090: 19090}


@dataclass(frozen=True, slots=True)
class World:
    """All that stands around the sidecar."""

    identity_provider: IdentityProvider
    redis: RedisServer
    gateway: Gateway
    warm_cli: Path

    async def settle(self) -> None:
        """Bring the accounts back to what every page begins with: none but the administrator's."""
        for kind in ("account", "realm", "revoked"):
            keys = await self.redis.command("KEYS", f"sidecar:{kind}:*")
            assert isinstance(keys, list)
            for key in keys:
                await self.redis.command("DEL", key)
        self.gateway.accounts.clear()
        for each in (
            GatewayAccount(ADMIN, "Admin", ("admin",)),
            GatewayAccount(SUBJECT, NAME, ("devops", "ops")),
        ):
            self.gateway.accounts[each.subject] = each
        await self.register(ADMIN, "admin")

    async def register(self, subject: str, groups: str) -> None:
        """Create an active account, as any writer may."""
        values = ("status", "active", "groups", groups, "name", "", "subject", subject)
        await self.redis.command("HSET", f"sidecar:account:default:{subject}", *values)

    def environment(self, directory: Path, host: str) -> Mapping[str, str]:
        """Return the variables of a shell in ``directory``, whose sidecar is at ``host``."""
        for name, text in self._files(host).items():
            (directory / name).write_text(text)
        command = directory / "sidecar"
        command.write_text(_COMMAND.format(client=f"{sys.executable} -IS {CLIENT}"))
        command.chmod(0o755)
        (directory / ".venv" / "bin").mkdir(parents=True)
        module = directory / ".venv" / "bin" / "python"
        module.write_text('#!/bin/sh\nshift 2\nexec sidecar "$@"\n')  # of `python -m sidecar ...`
        module.chmod(0o755)
        copytree(ROOT / "config", directory / "config")
        return {
            "PATH": f"{directory}:{PROGRAMS}:{os.environ['PATH']}",
            "HOME": str(directory),
            "LANG": "C.UTF-8",
            "TERM": "dumb",
            "NO_COLOR": "1",
            "COLUMNS": "200",
            "CURL_HOME": str(directory),
            "WARM_SIDECAR": str(self.warm_cli),
            "REDIS_URL": self.redis.url,
            "SECRET": SECRET,
            "URL": f"http://{host}:{PORTS[8080]}",
            "ADMIN": f"http://{host}:{PORTS[9090]}",
            "CLIENT": f"{SUBJECT}:{SECRET}",
            "TOKEN": self.token(SUBJECT),
            "TOKEN_URL": self.identity_provider.token_url,
            "CLIENT_SECRET": SECRET,
            "HOOP_TOKEN": self.token(SUBJECT),
            "ADMIN_TOKEN": self.token(ADMIN),
            "LEAKED": self.token(SUBJECT),
            **self._settings(directory, host),
        }

    def token(self, subject: str) -> str:
        return self.identity_provider.issue(subject, lifetime=600)

    def _files(self, host: str) -> Mapping[str, str]:
        names = ("127.0.0.1", "localhost")
        routes = [
            f"{name}:{usual}:{host}:{port}" for name in names for usual, port in PORTS.items()
        ]
        return {
            ".curlrc": "silent\nshow-error\nfail-with-body\n"
            + "".join(f"connect-to = {each}\n" for each in routes),
            "token.txt": self.token(SUBJECT),
            "leaked.txt": self.token(SUBJECT),
            "admin-secret": SECRET,
        }

    def _settings(self, directory: Path, host: str) -> Mapping[str, str]:
        issuer = {
            "issuer": self.identity_provider.issuer,
            "audiences": [AUDIENCE],
            "insecure_http": True,
        }
        clients = [{"client_id": "soc", "secret": SECRET}]
        return {
            "SIDECAR_LISTEN__HOST": host,
            "SIDECAR_LISTEN__PORT": str(PORTS[8080]),
            "SIDECAR_LISTEN__DRAIN_SECONDS": "0",
            "SIDECAR_ADMIN__HOST": host,
            "SIDECAR_ADMIN__PORT": str(PORTS[9090]),
            "SIDECAR_ADMIN__SECRET_FILE": str(directory / "admin-secret"),
            "SIDECAR_ADMIN__REVOCATION_CLIENTS": yaml.safe_dump(clients, default_flow_style=True),
            "SIDECAR_UPSTREAM__URL": self.gateway.url,
            "SIDECAR_ISSUERS": yaml.safe_dump([issuer], default_flow_style=True),
            "SIDECAR_MIRROR": "{}",
            "SIDECAR_ACCOUNTS__URL": self.redis.url,
            # Longer than in production: other tests keep the machine busy.
            "SIDECAR_ACCOUNTS__MAX_STALENESS": "3",
            "SIDECAR_ACCOUNTS__READ_TIMEOUT": "1",
        }


def own_host() -> str:
    """Return an address of this machine's loopback network that nobody else is likely to use."""
    return "127." + ".".join(str(2 + secrets.randbelow(250)) for _ in range(3))


@asynccontextmanager
async def open_world(warm_cli: Path) -> AsyncIterator[World]:
    """Start it all but the sidecar; it ends with the block."""
    clients = [Client(name, SECRET, name) for name in (SUBJECT, ADMIN)]
    async with (
        IdentityProvider(clients, audiences=(AUDIENCE,)) as identity_provider,
        RedisServer() as redis,
        Gateway(identity_provider_verifier(identity_provider.jwks_url)) as gateway,
    ):
        yield World(identity_provider, redis, gateway, warm_cli)
