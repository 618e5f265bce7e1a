"""A Redis-compatible server, and a shell that runs commands on settings of its own."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import pytest
import yaml
from redis import Redis
from typer.testing import CliRunner

from sidecar.cli.main import cli
from sidecar.demo.redis_server import RedisServer


class Shell:
    """Runs commands on settings in a file. ``out`` and ``err`` are of the last one."""

    def __init__(self, file: Path, url: str, **sections: Any) -> None:
        self.file = file
        self.out = self.err = ""
        self._write(url, sections)

    def with_sections(self, **sections: Any) -> Self:
        """Return it with further settings."""
        known = yaml.safe_load(self.file.read_text())
        self.file.write_text(yaml.safe_dump({**known, **sections}))
        return self

    def _write(self, url: str, sections: dict[str, Any]) -> None:
        self.file.write_text(
            yaml.safe_dump(
                {
                    "upstream": {"url": "http://127.0.0.1:8009"},
                    "preset": "hoop",
                    "issuers": [{"issuer": "https://idp.example/", "audiences": ["api"]}],
                    "accounts": {"url": url, "timeout": 1},
                    **sections,
                }
            )
        )

    def run(self, *arguments: str, stdin: str = "") -> int:
        command = [*arguments, "--config", str(self.file)]
        result = CliRunner(env={"COLUMNS": "200"}).invoke(cli, command, input=stdin)
        self.out, self.err = result.stdout, result.stderr
        return result.exit_code

    def redis(self, command: str, key: str, *arguments: str) -> Any:
        """Ask the server itself; ``key`` is without the prefix."""
        accounts = yaml.safe_load(self.file.read_text())["accounts"]
        with Redis.from_url(accounts["url"]) as client:
            return client.execute_command(command, accounts["prefix"] + key, *arguments)

    def account(self, *arguments: str) -> int:
        return self.run("account", *arguments)


@pytest.fixture(scope="module")
def redis_url() -> Iterator[str]:
    """A server in an event loop of its own: the commands start loops of theirs."""
    url: list[str] = []
    started = threading.Event()
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()

    async def serve() -> None:
        async with RedisServer() as server:
            url.append(server.url)
            started.set()
            await stop.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    assert started.wait(20)
    try:
        yield url[0]
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()


@pytest.fixture
def shell(tmp_path: Path, redis_url: str, request: pytest.FixtureRequest) -> Shell:
    # A prefix of each test's own, so that they do not see each other's accounts.
    accounts = {"url": redis_url, "prefix": f"{request.node.name[:50]}:"}
    return Shell(tmp_path / "sidecar.yaml", redis_url, accounts=accounts)
