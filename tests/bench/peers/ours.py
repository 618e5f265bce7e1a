"""The sidecar, with Redis, one worker: as it is, and with its hot modules compiled."""

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from sidecar.demo.redis_server import free_port
from tests.bench.peers.peer import Peer, Scene, running_peer
from tests.bench.processes import Missing

NAME = "sidecar"
COMPILED = "sidecar, compiled"
_COMPILED_SOURCES = Path(__file__).parents[3] / "build" / "accelerated"
_READY_SECONDS = 30.0


def running_ours(scene: Scene) -> AbstractAsyncContextManager[Peer]:
    """Run it without its decision log: no peer logs requests here."""
    return _running(NAME, scene, [sys.executable, "-m", "sidecar"])


def running_ours_with(
    name: str, scene: Scene, **sections: Any
) -> AbstractAsyncContextManager[Peer]:
    """Run it in the same way, with further sections of settings."""
    return _running(name, scene, [sys.executable, "-m", "sidecar"], **sections)


def running_ours_compiled(scene: Scene) -> AbstractAsyncContextManager[Peer]:
    """Run the compiled build in the same way.

    Raises:
        Missing: it was not made.
    """
    if not _COMPILED_SOURCES.exists():
        raise Missing("the sidecar is not compiled (make accelerate)")
    path = f"PYTHONPATH={_COMPILED_SOURCES}"
    return _running(COMPILED, scene, ["env", path, sys.executable, "-P", "-m", "sidecar"])


@asynccontextmanager
async def _running(
    name: str, scene: Scene, program: Sequence[str], **sections: Any
) -> AsyncIterator[Peer]:
    port, admin = free_port(), free_port()
    settings = scene.site.settings(
        scene.upstream,
        listen={"host": "127.0.0.1", "port": port, "drain_seconds": 0, "shutdown_seconds": 1},
        admin={"host": "127.0.0.1", "port": admin},
        limits={"remembered_tokens": scene.remembered_tokens},
        log={"decisions": "none"},
        **sections,
    )
    file = scene.directory / f"sidecar-{port}.yaml"
    file.write_text(yaml.safe_dump(settings))
    command = [*program, "run", "--config", str(file)]
    async with running_peer(name, scene, command, port) as peer:
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
