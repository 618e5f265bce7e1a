"""``sidecar store`` against a real server."""

import asyncio
from pathlib import Path

import yaml
from typer.testing import CliRunner, Result

from sidecar.adapters.account_keys import AccountKeys
from sidecar.adapters.redis_store import open_redis_store
from sidecar.adapters.store_revision import Mark
from sidecar.cli.main import cli
from sidecar.demo.redis_server import RedisServer
from tests.settings.desk import GOOD


def confirm(directory: Path, url: str, *arguments: str, answer: str = "") -> Result:
    file = directory / "sidecar.yaml"
    file.write_text(yaml.safe_dump({**GOOD, "accounts": {"url": url}}))
    command = ["store", "confirm", "--config", str(file), *arguments]
    return CliRunner().invoke(cli, command, input=answer)


def asked(directory: Path, *arguments: str, answer: str = "") -> tuple[Result, Mark]:
    async def ask() -> tuple[Result, Mark]:
        async with RedisServer() as redis:
            await redis.command("SET", "sidecar:revision", "41")
            result = await asyncio.to_thread(
                confirm, directory, redis.url, *arguments, answer=answer
            )
            async with open_redis_store(redis.url, {}, AccountKeys(), 5.0) as store:
                return result, await store.mark()

    return asyncio.run(ask())


def test_a_confirmation_starts_an_epoch_and_says_what_that_means(tmp_path: Path) -> None:
    result, mark = asked(tmp_path, "--yes")

    assert result.exit_code == 0
    assert "who was disabled since may be active" in result.stdout
    assert "confirmed at revision 41" in result.stdout
    assert mark.revision == 42
    assert mark.confirmed_at > 0


def test_it_asks_first_and_no_means_no(tmp_path: Path) -> None:
    result, mark = asked(tmp_path, answer="n\n")
    assert result.exit_code == 1
    assert "Are the accounts in order?" in result.stdout
    assert mark == Mark(41)

    result, mark = asked(tmp_path, answer="y\n")
    assert result.exit_code == 0
    assert mark.revision == 42


def test_a_store_in_memory_cannot_be_confirmed(tmp_path: Path) -> None:
    assert confirm(tmp_path, "memory://", "--yes").exit_code == 2
