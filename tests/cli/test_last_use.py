"""Which accounts nobody uses, on the command line."""

import json
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from redis import Redis

from sidecar.adapters.account_keys import AccountKeys
from sidecar.adapters.clock import SystemClock
from sidecar.cli.last_use import read_duration
from tests.cli.conftest import Shell

DAY = 86400.0


class Office:
    """A shell whose settings record the last use, and what sidecars have recorded."""

    def __init__(self, shell: Shell, url: str, keys: AccountKeys) -> None:
        self.shell = shell
        self._keys = keys
        self._redis: Any = Redis.from_url(url)
        self.now = SystemClock().now()

    def recording_since(self, days: float) -> None:
        self._redis.hset(self._keys.uses("default"), " since", str(int(self.now - days * DAY)))

    def account(self, subject: str, *, used: float | None, made: float) -> None:
        """Make an account; ``used`` and ``made`` are days ago."""
        self.shell.account("create", subject)
        name = f"{self._keys.prefix}account:default:{subject}"
        self._redis.hset(name, "updated_at", repr(self.now - made * DAY))
        if used is not None:
            moment = int(self.now - used * DAY)
            self._redis.zadd(self._keys.last_seen("default"), {subject: moment})
            self._redis.hset(self._keys.uses("default"), subject, "7")

    def unused(self, duration: str) -> list[str]:
        assert self.shell.account("list", "--unused", duration, "-o", "json") == 0
        return [each["subject"] for each in json.loads(self.shell.out)]

    def spoil(self) -> None:
        self._redis.set(self._keys.last_seen("default"), "of another type")

    def close(self) -> None:
        self._redis.close()


@pytest.fixture
def office(tmp_path: Path, redis_url: str, request: pytest.FixtureRequest) -> Iterator[Office]:
    prefix = f"{request.node.name[:50]}:"
    accounts = {"url": redis_url, "prefix": prefix, "last_use": {}}
    shell = Shell(tmp_path / "s.yaml", redis_url, accounts=accounts)
    office = Office(shell, redis_url, AccountKeys(prefix))
    yield office
    office.close()


def test_those_that_nobody_uses_are_listed(office: Office) -> None:
    office.recording_since(90)
    office.account("busy", used=0.1, made=80)
    office.account("idle", used=40, made=80)
    office.account("never", used=None, made=80)
    office.account("new", used=None, made=1)

    assert office.unused("30d") == ["idle", "never"]
    assert office.unused("12h") == ["idle", "never", "new"]
    assert office.unused("45d") == ["never"]
    assert office.shell.err == ""


def test_nobody_counts_as_unused_for_longer_than_somebody_looked(office: Office) -> None:
    """Recording began yesterday: who was used the day before would seem to be unused."""
    office.recording_since(1)
    office.account("old", used=None, made=400)

    assert office.unused("30d") == []
    assert "use is recorded since" in office.shell.err
    assert office.unused("12h") == ["old"]


def test_where_nothing_is_recorded_nobody_is_called_unused(office: Office, shell: Shell) -> None:
    shell.account("create", "api-user")
    assert shell.account("list", "--unused", "30d") == 2
    assert "set accounts.last_use" in shell.err

    office.account("api-user", used=None, made=400)
    assert office.shell.account("list", "--unused", "30d") == 2


def test_the_last_use_is_shown(office: Office) -> None:
    office.recording_since(90)
    office.account("idle", used=40, made=80)
    office.account("never", used=None, made=80)

    office.shell.account("show", "idle", "-o", "json")
    shown = json.loads(office.shell.out)
    assert (shown["uses"], shown["last_seen"]) == (7, int(office.now - 40 * DAY))
    office.shell.account("show", "never", "-o", "json")
    shown = json.loads(office.shell.out)
    assert (shown["uses"], shown["last_seen"]) == (0, None)

    office.shell.account("list")
    assert "LAST SEEN (UTC)" in office.shell.out
    assert "never" in office.shell.out


def test_where_it_is_not_recorded_nothing_is_said_of_it(shell: Shell) -> None:
    shell.account("create", "api-user")
    shell.account("show", "api-user", "-o", "json")
    assert "last_seen" not in json.loads(shell.out)
    shell.account("list")
    assert "LAST SEEN" not in shell.out


def test_an_account_is_found_though_its_use_cannot_be_read(office: Office) -> None:
    office.account("robot", used=1, made=80)
    office.spoil()

    assert office.shell.account("list", "-o", "json") == 0
    assert [each["subject"] for each in json.loads(office.shell.out)] == ["robot"]
    assert "how accounts are used cannot be read" in office.shell.err
    assert office.shell.account("show", "robot") == 0
    assert office.shell.account("list", "--unused", "1d") == 3


def test_a_deleted_account_that_is_made_anew_was_never_used(office: Office) -> None:
    office.recording_since(90)
    office.account("robot", used=40, made=80)
    office.shell.account("delete", "robot")
    office.shell.account("create", "robot")
    office.shell.account("show", "robot", "-o", "json")

    assert json.loads(office.shell.out)["last_seen"] is None


@pytest.mark.parametrize(
    ("text", "duration"),
    [
        ("30d", timedelta(days=30)),
        ("12h", timedelta(hours=12)),
        ("45m", timedelta(minutes=45)),
        ("90s", timedelta(seconds=90)),
        ("1d12h", timedelta(days=1, hours=12)),
        ("0d", timedelta()),
    ],
)
def test_a_duration_is_read(text: str, duration: timedelta) -> None:
    assert read_duration(text) == duration


@pytest.mark.parametrize("text", ["", "30", "d", "-1d", "1.5d", "30D", "12h1d", "1w", "9" * 99])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="such as 30d"):
        read_duration(text)


@given(st.text())
def test_any_text_is_a_duration_or_is_refused(text: str) -> None:
    duration = None
    with suppress(typer.BadParameter):
        duration = read_duration(text)
    assert duration is None or timedelta() <= duration < timedelta(days=400_000)


def test_a_bad_duration_ends_with_two(shell: Shell) -> None:
    assert shell.account("list", "--unused", "soon") == 2
    assert "such as 30d" in shell.err
