"""Redis set up wrongly in six ways, and whether a real sidecar notices at its start (bar 34)."""

import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import trustme

from sidecar.demo.redis_server import RedisServer
from tests.adapters.test_redis_access import RIGHTS
from tests.bench.site import Site
from tests.e2e.processes import Sidecar, running_sidecar
from tests.fakes.scripted_redis import scripted_redis
from tests.fakes.waiting import until

_TOLD_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Wrong:
    """A misconfiguration: the accounts' settings, and the word of the log that tells of it."""

    name: str
    accounts: dict[str, Any]
    word: str
    is_refused: bool = True


@asynccontextmanager
async def misconfigured(directory: Path) -> AsyncIterator[list[Wrong]]:
    """Run the servers that are wrong, until the block ends."""
    ours = trustme.CA()
    ours.cert_pem.write_to_path(directory / "ca.pem")
    tls = {"tls": {"ca": str(directory / "ca.pem")}}
    async with AsyncExitStack() as stack:

        async def server(*arguments: str, password: str | None = None) -> RedisServer:
            redis = RedisServer(arguments=arguments, password=password)
            return await stack.enter_async_context(redis)

        async def behind(leaf: trustme.LeafCert) -> str:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            leaf.configure_cert(context)
            return (await stack.enter_async_context(scripted_redis({}, context))).url

        evicting = await server("--maxmemory-policy", "allkeys-lru")
        locked = await server(password="another")
        narrow = await server()
        rights = (each for each in RIGHTS if each != "+client|tracking")
        await narrow.command("ACL", "SETUSER", "sidecar", "on", ">secret", *rights)
        replica = await server("--replicaof", f"127.0.0.1 {evicting.port}")
        user = {"username": "sidecar", "password": "secret"}
        wrong_name = await behind(ours.issue_cert("redis.example"))
        foreign = await behind(trustme.CA().issue_cert("127.0.0.1"))
        yield [
            Wrong("eviction", {"url": evicting.url}, "maxmemory-policy", is_refused=False),
            Wrong("password", {"url": _bare(locked), "password": "mine"}, "AuthenticationError"),
            Wrong("rights", {"url": narrow.url, **user}, "permission"),
            Wrong("replica", {"url": replica.url}, "no primary"),
            Wrong("TLS name", {"url": wrong_name, **tls}, "mismatch"),
            Wrong("TLS authority", {"url": foreign, **tls}, "local issuer"),
        ]


def _bare(redis: RedisServer) -> str:
    return f"redis://127.0.0.1:{redis.port}/0"


async def is_noticed(site: Site, wrong: Wrong, directory: Path) -> bool:
    """Say whether a sidecar tells of it and, unless it only has to, lets nobody in."""
    settings = site.settings("http://127.0.0.1:1", accounts=wrong.accounts)
    async with (
        running_sidecar(settings, directory, until_ready=False) as sidecar,
        aiohttp.ClientSession() as http,
    ):
        try:
            await until(lambda: any(wrong.word in each for each in sidecar.output), _TOLD_SECONDS)
        except TimeoutError:
            return False
        return not wrong.is_refused or await _is_shut(http, sidecar, site)


async def _is_shut(http: aiohttp.ClientSession, sidecar: Sidecar, site: Site) -> bool:
    async with http.get(sidecar.admin_url + "/readyz") as ready:
        if ready.status != 503:
            return False
    headers = {"Authorization": f"Bearer {site.token('robot-0')}"}
    async with http.get(sidecar.url + "/api/userinfo", headers=headers) as answer:
        return answer.status == 503
