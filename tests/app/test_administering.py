"""The admin API's parts: what the settings let in, and where what it writes goes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from sidecar.adapters.clock import SystemClock
from sidecar.adapters.memory_accounts import MemoryAccounts
from sidecar.admin.console.backing import KnownIssuer
from sidecar.admin.desk import OwnDesk
from sidecar.admin.listener import AdminListener
from sidecar.app.administering import (
    Endpoints,
    Office,
    administering,
    administering_for_workers,
)
from sidecar.app.auditing import auditing
from sidecar.app.console_facts import facts_of
from sidecar.core.subject import Account, AccountStatus, SubjectKey
from sidecar.decision_services import DecisionServices
from sidecar.demo.redis_server import RedisServer
from sidecar.observability.change_counter import ChangeCounter
from sidecar.observability.metrics import Metrics
from sidecar.observability.recent_decisions import RecentDecisions
from sidecar.observability.workers import own_figures
from sidecar.settings import Settings
from tests.admin.test_listener import ask
from tests.app.test_parts import settings
from tests.app.test_revoking import CLIENT
from tests.fakes.observer import RecordingObserver
from tests.fakes.world import AUDIENCE, ISSUER, NOW, World

SECRET = "a-secret-of-some-length"
ACCOUNTS = "/api/serviceaccounts"
POSTED = b'{"subject": "alice", "status": "active"}'
ISSUERS = [{"issuer": ISSUER, "realm": "corp", "audiences": [AUDIENCE], "algorithms": ["RS256"]}]
JSON = {"Content-Type": "application/json"}


def found(directory: Path, **sections: Any) -> Settings:
    secret_file = directory / "secret"
    secret_file.write_text(SECRET)
    return settings(
        directory,
        issuers=ISSUERS,
        **{
            "accounts": {"url": "memory://"},
            "admin": {"tokens": True, "secret_file": str(secret_file)},
            **sections,
        },
    )


@asynccontextmanager
async def listening(endpoints: Endpoints) -> AsyncIterator[str]:
    listener = AdminListener("127.0.0.1", 0, probes=dict, render=lambda _: (b"", ""), workers=bytes)
    listener.revoke, listener.api = endpoints.revoke, endpoints.api
    listener.console = endpoints.console
    async with listener:
        yield listener.url


class Case:
    """What administering gets, with accounts in memory."""

    def __init__(self) -> None:
        self.world = World()
        self.accounts = MemoryAccounts()
        self.observer = RecordingObserver()
        self.counter = ChangeCounter()
        self.figures = own_figures(Metrics())
        self.desk = OwnDesk(RecentDecisions(self.world.clock), 1)

    @asynccontextmanager
    async def administered(self, wanted: Settings) -> AsyncIterator[Endpoints]:
        async with auditing(wanted, self.observer, self.counter.audit_lost) as audit:
            office = Office(
                self.world.keys,
                self.accounts,
                self.world.clock,
                audit,
                self.desk,
                self.counter,
                self.figures,
                DecisionServices(),
            )
            async with administering(wanted, office) as endpoints:
                yield endpoints


async def test_without_a_way_to_sign_in_there_is_nothing(tmp_path: Path) -> None:
    wanted = found(tmp_path, admin={})
    async with Case().administered(wanted) as endpoints:
        assert (endpoints.revoke, endpoints.api, endpoints.console) == (None, None, None)
        endpoints.retire()
    async with administering_for_workers(
        wanted, SystemClock(), ChangeCounter(), tmp_path
    ) as endpoints:
        assert endpoints == Endpoints()


@pytest.mark.parametrize(("groups", "status"), [(("admin",), 201), (("ops",), 403)])
async def test_an_account_of_the_admins_groups_is_let_in_and_the_view_is_written_to(
    tmp_path: Path, groups: tuple[str, ...], status: int
) -> None:
    case = Case()
    robot = SubjectKey("corp", "robot")
    await case.accounts.put(
        robot, Account("id", "robot", "", groups, AccountStatus.ACTIVE), expected=None
    )
    token = case.world.sign(iat=NOW - 10, exp=NOW + 300)
    async with (
        case.administered(found(tmp_path)) as endpoints,
        listening(endpoints) as url,
    ):
        bearer = {"Authorization": f"Bearer {token}", **JSON}
        assert (await ask(url + ACCOUNTS, "POST", POSTED, **bearer))[0] == status

    alice = await case.accounts.get(SubjectKey("corp", "alice"))
    assert (alice is not None) is (status == 201)
    assert len(case.observer.audits) == (status == 201)


async def test_for_several_workers_the_parent_has_its_own_store_and_log(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    counter = ChangeCounter()
    async with RedisServer() as redis:
        wanted = found(
            tmp_path,
            accounts={"url": redis.url, "prefix": "ours:"},
            admin={
                "secret_file": str(tmp_path / "secret"),
                "tokens": True,
                "revocation_clients": [CLIENT],
            },
        )
        directory = tmp_path / "workers"
        directory.mkdir()
        async with (
            administering_for_workers(wanted, SystemClock(), counter, directory) as endpoints,
            listening(endpoints) as url,
        ):
            bearer = {"Authorization": f"Bearer {SECRET}", **JSON}
            assert endpoints.revoke is not None
            assert (await ask(url + ACCOUNTS, "POST", POSTED, **bearer))[0] == 201
            assert (await ask(url + "/api/streams", "GET", None, **bearer))[
                1
            ] == b'{"streams": [], "silent": []}'
        assert await redis.command("EXISTS", "ours:account:corp:alice") == 1
        assert await redis.command("XLEN", "ours:audit") == 1
    assert '"action": "create"' in capsys.readouterr().out


async def test_the_console_is_there_with_the_api_unless_it_is_not_wanted(tmp_path: Path) -> None:
    secret_file = str(tmp_path / "secret")
    wanted = found(tmp_path, keys={"max_age": 60})
    unwanted = found(tmp_path, admin={"secret_file": secret_file, "console": False})
    async with Case().administered(wanted) as endpoints, listening(endpoints) as url:
        status, body, _ = await ask(url + "/console/sign-in")
        assert (status, b"<h1>Sign in</h1>" in body) == (200, True)
        assert (await ask(url + "/console/static/console.js"))[0] == 200
        assert (await ask(url + "/console/static/..%2Fbase.html"))[0] == 404
    async with Case().administered(unwanted) as endpoints, listening(endpoints) as url:
        assert endpoints.console is None
        for path in ("/", "/console", "/console/", "/console/sign-in"):
            assert (await ask(url + path))[0] == 404
        assert (await ask(url + "/api/streams"))[0] == 401


def test_what_the_console_knows_of_the_settings_has_no_secret(tmp_path: Path) -> None:
    wanted = found(tmp_path, accounts={"url": "redis://:hunter2@127.0.0.1/0"})
    facts = facts_of(wanted)

    assert "hunter2" not in repr(facts)
    assert facts.issuers == (KnownIssuer(ISSUER, "corp", 300.0, 3600.0),)
    assert facts.upstream == ("http://127.0.0.1:8009",)
    assert "hoop-api" in facts.routes


async def test_the_mirrors_realm_is_meant_where_none_is_named(tmp_path: Path) -> None:
    case = Case()
    wanted = found(tmp_path, mirror={"realm": "gateway"})
    async with case.administered(wanted) as endpoints, listening(endpoints) as url:
        bearer = {"Authorization": f"Bearer {SECRET}", **JSON}
        assert (await ask(url + ACCOUNTS, "POST", POSTED, **bearer))[0] == 201

    assert await case.accounts.get(SubjectKey("gateway", "alice")) is not None
