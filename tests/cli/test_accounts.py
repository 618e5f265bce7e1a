"""``sidecar account`` against a real Redis-compatible server."""

import asyncio
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from sidecar.cli.main import cli
from sidecar.demo.redis_server import RedisServer


class Shell:
    """Runs commands on settings in a file. ``out`` and ``err`` are of the last one."""

    def __init__(self, file: Path, url: str, **sections: Any) -> None:
        self.file = file
        self.out = self.err = ""
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

    def account(self, *arguments: str) -> int:
        command = ["account", *arguments, "--config", str(self.file)]
        result = CliRunner(env={"COLUMNS": "200"}).invoke(cli, command)
        self.out, self.err = result.stdout, result.stderr
        return result.exit_code


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


def test_an_account_lives_from_its_making_to_its_end(shell: Shell) -> None:
    assert shell.account("create", "api-user", "--groups", "devops,ops", "--name", "Api User") == 0
    assert shell.out == "service account api-user created\n"
    audit = json.loads(shell.err)
    assert (audit["event"], audit["action"], audit["before"]) == ("account", "create", None)
    assert audit["actor"].startswith("cli:")

    assert shell.account("show", "api-user", "-o", "json") == 0
    shown = json.loads(shell.out)
    assert shown["id"] == "e2ad98f2-5086-538e-8171-71e65cc5b081"
    assert (shown["status"], shown["groups"]) == ("active", ["devops", "ops"])

    assert shell.account("disable", "api-user") == 0
    assert shell.out == "service account api-user disabled\n"
    assert shell.account("list", "-o", "json") == 0
    assert [each["status"] for each in json.loads(shell.out)] == ["inactive"]

    assert shell.account("enable", "api-user", "-o", "json") == 0
    assert json.loads(shell.out)["status"] == "active"
    assert shell.account("update", "api-user", "--groups", "") == 0
    assert shell.account("list") == 0
    assert "api-user" in shell.out
    assert "Api User" in shell.out

    assert shell.account("delete", "api-user") == 0
    assert shell.out == "service account api-user deleted\n"
    assert shell.account("list", "-o", "json") == 0
    assert json.loads(shell.out) == []


def test_an_account_that_exists_is_overwritten_only_when_told(shell: Shell) -> None:
    """The gateway's own command answers 409 here, and leaves the account active."""
    shell.account("create", "api-user", "--groups", "admin", "--name", "Old")

    assert shell.account("create", "api-user", "--disable") == 1
    assert "--overwrite" in shell.err

    assert shell.account("create", "api-user", "--overwrite", "--disable") == 0
    assert shell.out == "service account api-user updated\n"
    shell.account("show", "api-user")
    assert "inactive" in shell.out
    assert "Old" in shell.out


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("disable", "nobody"), 1, "no service account nobody"),
        (("show", "nobody"), 1, "account list"),
        (("update", "nobody", "--name", "x"), 1, "no service account"),
        (("delete", "nobody"), 1, "no service account"),
        (("create", "a b"), 2, "a subject is"),
        (("create", "a", "--name", "bell\x07"), 2, "a name is"),
        (("create", "a", "--realm", "other"), 2, "no issuer has the realm other"),
        (("update", "nobody"), 2, "--name or --groups"),
    ],
)
def test_what_cannot_be_done_says_what_can(
    shell: Shell, arguments: tuple[str, ...], code: int, says: str
) -> None:
    assert shell.account(*arguments) == code
    assert says in shell.err


def test_with_several_realms_one_has_to_be_named(tmp_path: Path, redis_url: str) -> None:
    issuers = [
        {"issuer": f"https://{realm}.example/", "realm": realm, "audiences": ["api"]}
        for realm in ("corp", "partners")
    ]
    shell = Shell(tmp_path / "s.yaml", redis_url, issuers=issuers)

    assert shell.account("create", "api-user") == 2
    assert "one of corp, partners" in shell.err
    assert shell.account("create", "api-user", "--realm", "partners") == 0
    assert shell.account("list", "--realm", "corp", "-o", "json") == 0
    assert json.loads(shell.out) == []


def test_a_redis_that_does_not_answer_is_named_without_its_password(tmp_path: Path) -> None:
    shell = Shell(tmp_path / "s.yaml", "redis://:hunter2@127.0.0.1:9/0")

    assert shell.account("disable", "api-user") == 3
    assert "127.0.0.1:9" in shell.err
    assert "hunter2" not in shell.err
    assert "is not known" in shell.err
    assert shell.account("list") == 3
    assert "is not known" not in shell.err


def test_accounts_in_memory_cannot_be_reached_from_outside(tmp_path: Path) -> None:
    shell = Shell(tmp_path / "s.yaml", "memory://")

    assert shell.account("list") == 2
    assert "memory://" in shell.err


def test_a_name_is_no_markup_for_the_table(shell: Shell) -> None:
    shell.account("create", "api-user", "--name", "[red]x[/red]")
    shell.account("list")

    assert "[red]x[/red]" in shell.out
