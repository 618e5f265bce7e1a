"""The sidecar, with Redis, one worker."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import aiohttp
import yaml

from sidecar.demo.redis_server import free_port
from tests.bench.peers.peer import Peer, Scene, running_peer

NAME = "sidecar"
_READY_SECONDS = 30.0


@asynccontextmanager
async def running_ours(scene: Scene) -> AsyncIterator[Peer]:
    """Run it without its decision log: no peer logs requests here."""
    port, admin = free_port(), free_port()
    settings = scene.site.settings(
        scene.upstream,
        listen={"host": "127.0.0.1", "port": port, "drain_seconds": 0, "shutdown_seconds": 1},
        admin={"host": "127.0.0.1", "port": admin},
        limits={"remembered_tokens": scene.remembered_tokens},
        log={"decisions": "none"},
    )
    file = scene.directory / f"sidecar-{port}.yaml"
    file.write_text(yaml.safe_dump(settings))
    command = [sys.executable, "-m", "sidecar", "run", "--config", str(file)]
    async with running_peer(NAME, scene, command, port) as peer:
        await _is_ready(f"http://127.0.0.1:{admin}/readyz")
        yield peer


async def _is_ready(url: str) -> None:
    async with asyncio.timeout(_READY_SECONDS), aiohttp.ClientSession() as http:
        while True:
            # The doors are open before the admin listener is.
            with suppress(aiohttp.ClientConnectorError):
                async with http.get(url) as response:
                    if response.status == 200:
                        return
            await asyncio.sleep(0.01)
