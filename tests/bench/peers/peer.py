"""What a peer is, and what all of them are given: the same upstream, issuer, keys and tokens."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
from joserfc.jwk import ECKey, JWKRegistry, RSAKey

from sidecar.demo.redis_server import free_port
from tests.bench.processes import running
from tests.bench.site import Site

AUDIENCE = "hoop-gateway"
SUBJECT = "bench"
# Of the caches of verified tokens. One cell is as good as none where tokens take turns.
REMEMBERED_TOKENS = 50_000


@dataclass(frozen=True, slots=True)
class Scene:
    """What stands around the peers."""

    site: Site
    upstream: str
    directory: Path
    jwks: str
    """The issuer's JSON Web Key Set (RFC 7517), as text."""
    kid: str
    key_file: Path
    """The same key in PEM, for those who read nothing else."""
    remembered_tokens: int = REMEMBERED_TOKENS

    @property
    def upstream_address(self) -> tuple[str, int]:
        parts = urlsplit(self.upstream)
        assert parts.hostname is not None
        assert parts.port is not None
        return parts.hostname, parts.port

    def before(self, upstream: str) -> "Scene":
        """Return the same with another upstream."""
        return replace(self, upstream=upstream)


@dataclass(frozen=True, slots=True)
class Peer:
    """A proxy that runs."""

    name: str
    url: str
    pid: int
    checks: bool = True
    """Whether it is said to refuse what has no good token."""


Runner = Callable[[Scene], AbstractAsyncContextManager[Peer]]


async def make_scene(site: Site, upstream: str, directory: Path, remembered_tokens: int) -> Scene:
    """Fetch the provider's key, so that peers who cannot fetch have it too."""
    async with aiohttp.ClientSession() as http, http.get(site.provider.jwks_url) as response:
        jwks = await response.text()
        key = (await response.json())["keys"][-1]
    file = directory / f"key-{site.provider.kids[-1]}.pem"
    public = JWKRegistry.import_key(key)
    assert isinstance(public, RSAKey | ECKey)
    await asyncio.to_thread(file.write_bytes, public.as_pem(private=False))
    return Scene(site, upstream, directory, jwks, key["kid"], file, remembered_tokens)


@asynccontextmanager
async def running_peer(
    name: str, scene: Scene, command: list[str], port: int, *, checks: bool = True
) -> AsyncIterator[Peer]:
    """Run a peer until the block ends; yield it once it listens."""
    log = scene.directory / f"{name.replace(' ', '-')}-{free_port()}.log"
    async with running(command, port, log) as pid:
        yield Peer(name, f"http://127.0.0.1:{port}", pid, checks)
