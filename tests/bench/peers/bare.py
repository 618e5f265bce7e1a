"""The bare aiohttp proxy: it checks nothing."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.bench.peers.peer import Peer, Scene
from tests.bench.processes import python_program

NAME = "bare aiohttp proxy"


@asynccontextmanager
async def running_bare(scene: Scene) -> AsyncIterator[Peer]:
    program = Path(__file__).parent.parent / "bare_proxy.py"
    async with python_program(str(program), scene.upstream) as (url, pid):
        yield Peer(NAME, url, pid, checks=False)
