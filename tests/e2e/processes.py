"""The real sidecar as a process of its own, the way an operator runs it."""

import asyncio
import json
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from tests.e2e.leaks import check_told, check_written, secrets_in

_DOOR = re.compile(r"\b(\w+) on ((?:https?|grpcs?)://[^\s\"]+)")
START_SECONDS = 30.0


@dataclass
class Sidecar:
    """A running ``sidecar run``: its addresses, and every line that it has written.

    ``urls`` are its doors', by what the log calls them; ``url`` is the main one's.
    """

    process: asyncio.subprocess.Process
    url: str = ""
    admin_url: str = ""
    urls: dict[str, str] = field(default_factory=dict)
    decisions: list[dict[str, Any]] = field(default_factory=list)
    output: list[str] = field(default_factory=list)
    started: asyncio.Event = field(default_factory=asyncio.Event)

    async def ready(self) -> None:
        """Wait until it says that requests can be granted."""
        async with asyncio.timeout(START_SECONDS), aiohttp.ClientSession() as http:
            while True:
                async with http.get(self.admin_url + "/readyz") as response:
                    if response.status == 200:
                        return
                await asyncio.sleep(0.01)

    async def metrics(self) -> str:
        """Return the page of metrics; nothing where the admin listener does not answer in time."""
        if not self.admin_url.startswith("http://"):
            return ""
        limit = aiohttp.ClientTimeout(total=2.0)
        with suppress(aiohttp.ClientError, TimeoutError, OSError):
            async with (
                aiohttp.ClientSession(timeout=limit) as http,
                http.get(self.admin_url + "/metrics") as response,
            ):
                return await response.text()
        return ""

    async def terminate(self) -> int:
        """End it as an orchestrator does; return its exit code."""
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)
        return await asyncio.wait_for(self.process.wait(), START_SECONDS)

    async def read_decisions(self, stream: asyncio.StreamReader) -> None:
        async for line in stream:
            text = line.decode()
            self.output.append(text)
            self.decisions.append(json.loads(text))

    async def read_log(self, stream: asyncio.StreamReader) -> None:
        async for line in stream:
            text = line.decode()
            self.output.append(text)
            if found := _DOOR.search(text):
                self.urls.setdefault(found[1], found[2])
            if found and found[1] == "admin":
                # It is the last one that is named.
                self.admin_url = found[2]
                self.url = next(iter(self.urls.values()))
                self.started.set()
        self.started.set()


@asynccontextmanager
async def running_sidecar(
    settings: Mapping[str, Any],
    directory: Path,
    environ: Mapping[str, str] | None = None,
    *,
    until_ready: bool = True,
    descriptors: int | None = None,
    prefix: Sequence[str] = (),
) -> AsyncIterator[Sidecar]:
    """Run the sidecar with these settings until the block ends; wait till it is ready.

    Nothing that it has written, or tells in its metrics, may be a secret.

    It gets that many ``descriptors``, where there is a number. ``prefix`` is a command that starts
    it, and is then itself no more.
    """
    file = directory / "sidecar.yaml"
    file.write_text(yaml.safe_dump(dict(settings)))
    limited = [] if descriptors is None else ["prlimit", f"--nofile={descriptors}"]
    process = await asyncio.create_subprocess_exec(
        *limited,
        *prefix,
        sys.executable,
        "-m",
        "sidecar",
        "run",
        "--config",
        str(file),
        env={**os.environ, **(environ or {})},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        limit=2**20,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    sidecar = Sidecar(process)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(sidecar.read_decisions(process.stdout))
        tasks.create_task(sidecar.read_log(process.stderr))
        try:
            await asyncio.wait_for(sidecar.started.wait(), START_SECONDS)
            assert sidecar.url, "".join(sidecar.output)
            if until_ready:
                await sidecar.ready()
            yield sidecar
        finally:
            metrics = await sidecar.metrics()
            await sidecar.terminate()
    check_written(sidecar.output, settings)
    check_told(metrics, secrets_in(settings))


async def cli(
    *arguments: str, environ: Mapping[str, str] | None = None, stdin: str = ""
) -> tuple[int, str, str]:
    """Run a ``sidecar`` command to its end; return exit code, stdout and stderr."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "sidecar",
        *arguments,
        env={**os.environ, **(environ or {})},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(stdin.encode()), 60)
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()
