"""``sidecar account`` against a real Redis-compatible server."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Shell


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


def test_what_a_terminal_would_obey_is_not_listed(shell: Shell) -> None:
    shell.account("create", "api-user")
    shell.redis("HSET", "account:default:api-user", "name", "\x1b]0;owned\x07")
    shell.account("list")

    assert "\ufffd]0;owned\ufffd" in shell.out
    assert "\x1b" not in shell.out


def test_a_command_is_in_the_trail_that_the_admin_api_shows(shell: Shell, tmp_path: Path) -> None:
    shell = _with_admin_api(shell, tmp_path)
    shell.account("create", "api-user")
    shell.account("revoke-tokens", "api-user")
    kept = [json.loads(fields[b"record"]) for _, fields in shell.redis("XRANGE", "audit", "-", "+")]

    assert [each["action"] for each in kept] == ["create", "revoke_subject_tokens"]
    assert all(each["actor"].startswith("cli:") for each in kept)


def test_a_record_that_may_not_be_kept_is_told_of(
    shell: Shell, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shell = _with_admin_api(shell, tmp_path)
    shell.redis("SET", "audit", "no stream")

    assert shell.account("create", "api-user") == 0
    assert "the record of create by cli:" in caplog.text
    assert "is in the log alone" in caplog.text


def _with_admin_api(shell: Shell, folder: Path) -> Shell:
    secret = folder / "secret"
    secret.write_text("a-secret-of-thirty-two-characters")
    return shell.with_sections(admin={"secret_file": str(secret)})
