"""Many accounts at once: from a file, into a file, and from the gateway."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given

from sidecar.account_sync import AccountSync
from sidecar.cli.account_files import Format, read_accounts, write_accounts
from sidecar.cli.common import plain
from sidecar.core.account_plan import PlanRules
from sidecar.core.subject import Account
from sidecar.service_accounts import ServiceAccounts
from tests.cli.conftest import Shell
from tests.cli.gateway import GatewayThread
from tests.cli.test_account_files import ACCOUNTS, HOSTILE
from tests.fakes.clock import FakeClock
from tests.fakes.observer import RecordingObserver
from tests.fakes.store import FakeAccountStore

FILE = """\
- subject: team/app
  name: App
  status: active
  groups: [ops]
- subject: idle
  status: inactive
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    place = tmp_path / "accounts.yaml"
    place.write_text(FILE)
    return place


def stored(shell: Shell) -> dict[str, tuple[str, list[str]]]:
    assert shell.account("list", "-o", "json") == 0
    return {each["subject"]: (each["status"], each["groups"]) for each in json.loads(shell.out)}


IN_FILE = {"idle": ("inactive", []), "team/app": ("active", ["ops"])}


def test_importing_adds_and_updates_and_leaves_the_others(shell: Shell, file: Path) -> None:
    shell.account("create", "other")
    shell.account("create", "idle", "--groups", "x")

    assert shell.account("import", str(file)) == 0
    assert "2 of 2 changed, 1 kept" in shell.out
    assert [json.loads(line)["action"] for line in shell.err.splitlines()] == ["update", "create"]
    assert stored(shell) == {**IN_FILE, "other": ("active", [])}

    assert shell.account("import", str(file)) == 0
    assert "0 of 0 changed, 3 kept" in shell.out
    assert shell.err == ""


def test_a_dry_run_shows_the_difference_and_changes_nothing(shell: Shell, file: Path) -> None:
    shell.account("create", "team/app", "--groups", "dev")

    assert shell.account("apply", "-f", str(file), "--dry-run") == 0
    assert "dev -> ops" in shell.out
    assert "- -> App" in shell.out
    assert "2 to change, 0 kept; nothing was changed" in shell.out
    assert stored(shell) == {"team/app": ("active", ["dev"])}

    assert shell.account("apply", "-f", str(file), "--dry-run", "--json") == 0
    shown = json.loads(shell.out)
    assert shown["dry_run"]
    assert [(each["change"], each["subject"]) for each in shown["changes"]] == [
        ("add", "idle"), ("update", "team/app"),
    ]  # fmt: skip
    assert shown["changes"][1]["before"] == {"name": "", "status": "active", "groups": ["dev"]}
    assert shown["changes"][1]["after"] == {"name": "App", "status": "active", "groups": ["ops"]}


def test_pruning_deletes_what_the_file_has_not_but_only_when_it_was_meant(
    shell: Shell, file: Path
) -> None:
    shell.account("create", "old")

    assert shell.account("apply", "-f", str(file), "--prune") == 2
    assert "1 accounts would be deleted; --yes" in shell.err
    assert stored(shell) == {"old": ("active", [])}

    assert shell.account("apply", "-f", str(file), "--prune", "--dry-run") == 0
    assert shell.account("apply", "-f", str(file)) == 0
    assert "old" in stored(shell)
    assert shell.account("apply", "-f", str(file), "--prune", "--yes", "--json") == 0
    assert stored(shell) == IN_FILE


def test_who_was_disabled_is_enabled_only_when_told(shell: Shell, file: Path) -> None:
    shell.account("import", str(file))
    shell.account("disable", "team/app")

    assert shell.account("apply", "-f", str(file)) == 0
    assert "'team/app' stays disabled, as it is here; --reenable enables it" in shell.err
    assert stored(shell)["team/app"][0] == "inactive"
    assert shell.account("apply", "-f", str(file), "--reenable") == 0
    assert stored(shell)["team/app"][0] == "active"


def test_what_cannot_be_held_is_told_and_ends_with_1(shell: Shell, file: Path) -> None:
    file.write_text(FILE + '- {subject: "a b", status: active}\n')

    assert shell.account("import", str(file)) == 1
    assert "'a b': no subject that can be held: left out" in shell.err
    assert stored(shell) == IN_FILE
    assert shell.account("import", str(file), "--dry-run") == 1


def test_what_is_in_redis_is_no_command_for_the_terminal(shell: Shell, file: Path) -> None:
    shell.account("create", "team/app", "--name", "[red]x[/red]")
    assert shell.account("import", str(file), "--dry-run") == 0
    assert "[red]x[/red] -> App" in shell.out

    assert plain("a\x1b[31m\nb") == "a\ufffd[31m\ufffdb"


@pytest.mark.parametrize("form", Format)
def test_what_was_exported_imports_as_it_was(shell: Shell, form: Format, tmp_path: Path) -> None:
    shell.account("create", "=1+1", "--name", 'a "b", c', "--groups", "@x,y z")
    shell.account("create", "b", "--disable")
    assert shell.account("export", "--format", form.value) == 0
    exported = shell.out
    before = stored(shell)
    for subject in before:
        shell.account("delete", subject)

    place = tmp_path / f"a.{form.value}"
    place.write_bytes(exported.encode())
    assert shell.account("import", str(place)) == 0
    assert stored(shell) == before
    assert shell.account("export", "--format", form.value) == 0
    assert shell.out == exported


@pytest.mark.parametrize("form", Format)
@HOSTILE
@given(accounts=ACCOUNTS)
async def test_from_export_to_import_to_export_nothing_changes(
    form: Format, accounts: list[Account]
) -> None:
    exported = write_accounts({each.subject: each for each in accounts}.values(), form)
    store = FakeAccountStore()
    use_cases = ServiceAccounts(store, FakeClock(), RecordingObserver(), actor="cli")
    sync = AccountSync(use_cases)
    wanted = read_accounts(exported.encode(), form)
    await sync.carry_out(await sync.plan("corp", wanted, PlanRules()))

    order = [each.subject for each in wanted]
    again = sorted(await store.list("corp"), key=lambda each: order.index(each.subject))
    assert write_accounts(again, form) == exported


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("import", "-"), 2, "--format: json, csv or yaml"),
        (("import", "accounts"), 2, "--format: json, csv or yaml"),
        (("import", "nowhere.yaml"), 2, "nowhere.yaml cannot be read: No such file"),
        (("import", "-", "--format", "json"), 2, "-: not JSON"),
        (("apply",), 2, "--file"),
        (("export", "--realm", "other"), 2, "no issuer has the realm other"),
        (("sync",), 2, "no section sync"),
    ],
)
def test_what_cannot_be_done_says_what_can(
    shell: Shell, arguments: tuple[str, ...], code: int, says: str
) -> None:
    assert shell.account(*arguments) == code
    assert says in shell.err


def test_stdin_is_a_file_too(shell: Shell) -> None:
    rows = json.dumps([{"subject": "a", "status": "active"}])

    assert shell.run("account", "import", "-", "--format", "json", stdin=rows) == 0
    assert stored(shell) == {"a": ("active", [])}
    twice = json.dumps([{"subject": "a", "status": "active"}] * 2)
    assert shell.run("account", "import", "-", "--format", "json", stdin=twice) == 2
    assert "'a' is there twice" in shell.err


def test_a_redis_that_does_not_answer_ends_with_3(tmp_path: Path, file: Path) -> None:
    shell = Shell(tmp_path / "s.yaml", "redis://127.0.0.1:9/0")

    assert shell.account("import", str(file)) == 3
    assert shell.account("export") == 3


@pytest.fixture
def gateway() -> Iterator[GatewayThread]:
    with GatewayThread() as found:
        yield found


@pytest.fixture
def synced(shell: Shell, gateway: GatewayThread, tmp_path: Path) -> Shell:
    """The shell, with a gateway to sync with."""
    (tmp_path / "key").write_text("key")
    sync = {"api_key_file": str(tmp_path / "key"), "gateway_url": gateway.url, "timeout": 5}
    return shell.with_sections(sync=sync)


def test_syncing_shows_and_carries_out_the_difference(
    synced: Shell, gateway: GatewayThread
) -> None:
    gateway.put("a", groups=("ops",))
    synced.account("create", "gone")
    synced.account("create", "shut", "--disable")
    gateway.put("shut")

    assert synced.account("sync", "--dry-run") == 0
    assert "2 to change" in synced.out
    assert "'shut' stays disabled" in synced.err
    assert synced.account("sync") == 0
    assert stored(synced) == {
        "a": ("active", ["ops"]), "gone": ("inactive", []), "shut": ("inactive", []),
    }  # fmt: skip
    assert synced.account("sync", "--reenable", "--json") == 0
    assert json.loads(synced.out)["changes"][0]["change"] == "enable"


def test_a_gateway_without_accounts_is_not_believed_unless_told(synced: Shell) -> None:
    synced.account("create", "a")

    assert synced.account("sync") == 1
    assert "--believe believes it" in synced.err
    assert stored(synced) == {"a": ("active", [])}
    assert synced.account("sync", "--believe") == 0
    assert stored(synced) == {"a": ("inactive", [])}


def test_a_gateway_that_is_away_ends_with_3_and_changes_nothing(
    synced: Shell, tmp_path: Path
) -> None:
    synced.account("create", "a")
    (tmp_path / "key").write_text("another")

    assert synced.account("sync") == 3
    assert "the gateway's accounts cannot be had: status 401" in synced.err
    assert stored(synced) == {"a": ("active", [])}
